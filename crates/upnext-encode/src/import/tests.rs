use super::*;
use half::f16;
use std::fs;
use upnext_data::sealed::{Tensor, Values, write_tensors};

/// A `.npy` file as NumPy writes it.
fn npy(descr: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(elements);
    bytes
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn catalog(keys: &[&str]) -> Catalog {
    Catalog::new(keys.iter().collect(), vec![]).unwrap()
}

struct Files {
    _dir: tempfile::TempDir,
    vectors: PathBuf,
    keys: PathBuf,
}

fn files(vectors: &[u8], keys: &str) -> Files {
    let dir = tempfile::tempdir().unwrap();
    let (path, keys_path) = (dir.path().join("posters.npy"), dir.path().join("keys.txt"));
    fs::write(&path, vectors).unwrap();
    fs::write(&keys_path, keys).unwrap();
    Files { _dir: dir, vectors: path, keys: keys_path }
}

fn features(vectors: &[u8], keys: &str) -> Result<FeatureFile> {
    let files = files(vectors, keys);
    Vectors::from_npy(&files.vectors, &files.keys)?.into_features(&catalog(&["a", "b"]), "poster", None)
}

#[test]
fn numpy_vectors_of_every_width_of_float_reach_their_keys() {
    let values = [0.5, -2.0, 0.0, 8.0];
    let halves = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect::<Vec<u8>>();
    let doubles = values.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect::<Vec<u8>>();
    for (descr, elements) in [("<f4", f32s(&values)), ("<f2", halves), ("<f8", doubles)] {
        let file = features(&npy(descr, "(2, 2)", &elements), "\u{feff}b\r\nnew\r\n").unwrap();
        assert_eq!(file.keys.iter().collect::<Vec<_>>(), ["b", "new"]);
        let modality = &file.modalities[0];
        assert_eq!((modality.name.as_str(), modality.width, &modality.items[..]), ("poster", 2, &[0, 1][..]));
        assert_eq!(modality.values, values, "{descr}");
        assert!(file.check().is_ok());
        let description = Description::parse(&file.encoder).unwrap();
        assert!(matches!(description, Description::Imported(Imported { file, .. }) if file == "posters.npy"));
    }
}

#[test]
fn rows_and_keys_that_do_not_fit_are_named() {
    let good = npy("<f4", "(2, 2)", &f32s(&[1.0; 4]));
    let check = |keys: &str, expected: &str| {
        let error = features(&good, keys).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("a\n", "keys.txt has 1 keys, but");
    check("a\nb\nc\n", "has 2 rows");
    check("a\n\nb\n", "keys.txt: line 2: an empty line");
    check("b\nb\n", "posters.npy, row 2, item \"b\": the same key as row 1");
    check(
        "x\ny\n",
        "none of its 2 keys is an item of the catalogue: its first key is \"x\", the catalogue's \"a\"",
    );
    check(&format!("a\n{}\n", "k".repeat(5000)), "line 2: a key of more than 4096 bytes");
    let nan = npy("<f4", "(2, 2)", &f32s(&[1.0, 1.0, 1.0, f32::NAN]));
    let error = features(&nan, "a\nb\n").unwrap_err().to_string();
    assert!(error.contains("posters.npy, row 2, item \"b\": the vector holds NaN"), "{error}");
    let large = npy("<f8", "(1, 1)", &1e300_f64.to_le_bytes());
    assert!(features(&large, "a\n").unwrap_err().to_string().contains("holds inf"));
    let files = files(&good, "a\nb\n");
    let vectors = Vectors::from_npy(&files.vectors, &files.keys).unwrap();
    let error = vectors.into_features(&catalog(&["a"]), "poster", Some(3)).unwrap_err();
    assert!(matches!(error, Error::WrongWidth { found: 2, expected: 3, .. }));
}

#[test]
fn a_bad_npy_file_is_an_error_that_names_it_and_allocates_nothing() {
    let check = |bytes: &[u8], expected: &str| {
        let error = features(bytes, "a\n").unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("posters.npy"), "{error}");
    };
    check(b"", "too short");
    check(b"PK\x03\x04 an npz", "no .npy file");
    check(b"\x93NUMPY\x09\x00\x00\x00", "version 9");
    check(b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "its header claims 4294967295 bytes");
    check(&npy("<f4", "(1, 2)", &[])[..40], "too short");
    check(&npy("<f4", "(99999999999, 99999999999)", &[]), "but 0 bytes of elements follow");
    check(&npy("<f4", "(1000000000, 1000)", &[0; 8]), "but 8 bytes of elements follow");
    check(&npy("<f4", "(1, 2)", &[0; 9]), "but 9 bytes of elements follow");
    check(&npy("<f4", "(4,)", &[0; 16]), "its shape is [4]");
    check(&npy(">f4", "(1, 2)", &[0; 8]), "\">f4\", not <f4, <f8 or <f2");
    check(&npy("|O", "(1, 2)", &[0; 8]), "\"|O\"");
    check(&npy("<f4", "(1, 0)", &[]), "0 wide");
    let fortran = npy("<f4", "(1, 2)", &[0; 8]);
    let fortran = String::from_utf8_lossy(&fortran).replace("False", "True ").into_bytes();
    assert!(features(&fortran, "a\n").is_err());
}

#[test]
fn a_tensor_is_chosen_by_name_or_because_it_is_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (path, keys) = (dir.path().join("v.safetensors"), dir.path().join("keys.txt"));
    fs::write(&keys, "a\nb\n").unwrap();
    let values = [1.0, 2.0, 3.0, 4.0];
    let tensor = |name: &str, shape: &[usize]| Tensor::new(name, shape, Values::F32(&values));
    write_tensors(&path, &[tensor("only", &[2, 2])]).unwrap();
    assert_eq!(Vectors::from_tensor(&path, None, &keys).unwrap().values, values);
    write_tensors(&path, &[tensor("x", &[2, 2]), tensor("y", &[4])]).unwrap();
    let refused = |name| Vectors::from_tensor(&path, name, &keys).unwrap_err().to_string();
    assert!(refused(None).ends_with("name one of its tensors: it has x, y"));
    assert!(refused(Some("z")).ends_with("it has no tensor \"z\"; it has x, y"));
    assert!(refused(Some("y")).contains("the shape of tensor \"y\" is [4]"));
    assert_eq!(Vectors::from_tensor(&path, Some("x"), &keys).unwrap().width, 2);
    assert!(!is_feature_file(&path).unwrap());
    let file = features(&npy("<f4", "(1, 2)", &f32s(&[1.0, 2.0])), "a\n").unwrap();
    file.write(&path).unwrap();
    assert!(is_feature_file(&path).unwrap());
    let again = |modality, width| feature_file(&path, &catalog(&["a"]), modality, width);
    assert_eq!(again("poster", Some(2)).unwrap(), file);
    assert!(
        again("text", None).unwrap_err().to_string().ends_with("it has no modality \"text\"; it has poster")
    );
    assert!(matches!(again("poster", Some(3)), Err(Error::WrongWidth { found: 2, expected: 3, .. })));
    assert!(matches!(feature_file(&path, &catalog(&["z"]), "poster", None), Err(Error::NoneKnown { .. })));
}
