//! Tensor files: what is written is read, in any order, and stock readers agree.

use std::fs;

use upnext_data::Error;
use upnext_data::sealed::{Dtype, FileHash, Tensor, TensorFile, Values, hash_file, write_tensors};

use crate::world::chain;

/// More than one chunk of floats, and one of each other type.
fn write(path: &std::path::Path, floats: &[f32]) -> FileHash {
    let tensors = [
        Tensor::new("bytes", &[3], Values::U8(b"abc")),
        Tensor::new("floats", &[floats.len() / 2, 2], Values::F32(floats)),
        Tensor::new("ids", &[2], Values::U32(&[7, u32::MAX])),
        Tensor::new("counts", &[1, 1], Values::U64(&[u64::MAX])),
        Tensor::new("times", &[0], Values::I64(&[])),
    ];
    write_tensors(path, &tensors).unwrap()
}

#[test]
fn tensors_are_read_in_any_order_and_hashed_once() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.safetensors");
    let floats: Vec<f32> = (0..300_000).map(|index| index as f32 / 7.0).collect();
    let hash = write(&path, &floats);
    assert_eq!(hash_file(&path).unwrap(), (hash.blake3.clone(), hash.bytes));
    for order in
        [["bytes", "floats", "counts"], ["counts", "floats", "floats"], ["floats", "bytes", "counts"]]
    {
        let mut file = TensorFile::open_sealed(&path, &hash).unwrap();
        for name in order {
            match name {
                "bytes" => assert_eq!(file.u8("bytes").unwrap(), b"abc"),
                "floats" => assert_eq!(file.f32("floats").unwrap(), floats),
                _ => assert_eq!(file.u64("counts").unwrap(), [u64::MAX]),
            }
        }
        assert_eq!(file.ids("ids").unwrap()[1].0, u32::MAX);
        assert_eq!((file.u32("ids").unwrap(), file.i64("times").unwrap()), (vec![7, u32::MAX], vec![]));
        file.verify().unwrap();
    }
}

#[test]
fn stock_readers_open_what_is_written() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.safetensors");
    write(&path, &[0.5; 8]);
    let bytes = fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.len(), 5);
    assert_eq!(tensors.tensor("floats").unwrap().shape(), [4, 2]);
    assert_eq!(tensors.tensor("bytes").unwrap().data(), b"abc");
    assert_eq!(tensors.tensor("floats").unwrap().data()[..4], 0.5_f32.to_le_bytes());
}

#[test]
fn what_stock_writers_write_is_opened() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.safetensors");
    let data: Vec<u8> = [1.0_f32, 2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2], &data).unwrap();
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    fs::write(&path, safetensors::serialize([("a", view)], Some(metadata)).unwrap()).unwrap();
    let mut file = TensorFile::open(&path).unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), ["a"]);
    assert_eq!(file.info("a").unwrap().dtype, Dtype::F32);
    assert_eq!(file.f32("a").unwrap(), [1.0, 2.0]);
    file.verify().unwrap();
}

#[test]
fn floats_of_every_width_are_read_as_32_bits() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.safetensors");
    // 1.5 and -2 in each: IEEE 754 halves, the upper halves of singles, doubles.
    let f16 = [0x3e00_u16, 0xc000].map(u16::to_le_bytes).concat();
    let bf16 = [0x3fc0_u16, 0xc000].map(u16::to_le_bytes).concat();
    let f64 = [1.5_f64, -2.0].map(f64::to_le_bytes).concat();
    let f32 = [1.5_f32, -2.0].map(f32::to_le_bytes).concat();
    use safetensors::Dtype as D;
    for (dtype, bytes) in [(D::F16, &f16), (D::BF16, &bf16), (D::F64, &f64), (D::F32, &f32)] {
        let view = safetensors::tensor::TensorView::new(dtype, vec![2], bytes).unwrap();
        fs::write(&path, safetensors::serialize([("a", view)], None).unwrap()).unwrap();
        let mut file = TensorFile::open(&path).unwrap();
        assert_eq!(file.floats("a").unwrap(), [1.5, -2.0], "{dtype:?}");
        assert_eq!(file.f32("a").is_ok(), dtype == D::F32);
        file.verify().unwrap();
    }
    write(&path, &[0.5; 8]);
    assert!(TensorFile::open(&path).unwrap().floats("ids").is_err());
}

#[test]
fn what_is_not_as_expected_is_named() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.safetensors");
    write(&path, &[0.5; 8]);
    let mut file = TensorFile::open(&path).unwrap();
    let check = |error: Error, tensor: &str, expected: &str| {
        assert_eq!(chain(&error), format!("tensor {tensor:?} of {}: {expected}", path.display()));
    };
    check(file.f32("floots").unwrap_err(), "floots", "it is missing");
    check(file.u32("floats").unwrap_err(), "floats", "it holds F32, not U32");
    check(file.expect_shape("floats", &[8]).unwrap_err(), "floats", "its shape is [4, 2], not [8]");
    check(file.expect_shape("x", &[8]).unwrap_err(), "x", "it is missing");
    file.expect_shape("floats", &[4, 2]).unwrap();
    let names = ["bytes", "counts", "floats", "ids"];
    check(file.expect_names(&names).unwrap_err(), "times", "nothing of this name belongs here");
    check(file.expect_names(&["bytes", "more"]).unwrap_err(), "more", "it is missing");
}

#[test]
fn what_cannot_be_written_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.safetensors");
    let one = |name: &str, shape: &[usize]| Tensor::new(name, shape, Values::U8(b"x"));
    let error = write_tensors(&path, &[one("a", &[1]), one("a", &[1])]).unwrap_err();
    assert!(matches!(error, Error::Duplicate { what: "tensor", .. }));
    for shape in [&[2][..], &[0], &[usize::MAX, 2]] {
        let error = write_tensors(&path, &[one("a", shape)]).unwrap_err();
        assert!(matches!(error, Error::Unwritable { values: 1, .. }));
    }
    let many: Vec<Tensor<'_>> = (0..20_000).map(|index| one(&format!("tensor {index}"), &[1])).collect();
    assert!(matches!(write_tensors(&path, &many).unwrap_err(), Error::Header { .. }));
    assert!(!path.exists(), "nothing is begun that cannot be finished");
}
