//! One code path: serving's forward over slices gives the bits of the fused op, however a history is cut into calls.

use crate::attention::{settings, variables};
use crate::mlp;
use upnext_kernels::attention::KeyValues;
use upnext_kernels::products::Products;
use upnext_model::ops::attention::{Masks, Memory, Scratch, Weights, forward, run};

const WIDTH: usize = 32;

fn values(tensor: &candle_core::Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_history_read_in_pieces_has_the_bits_of_the_whole() {
    let settings = settings(&[70], WIDTH, 2, true);
    let tensors = variables(70, WIDTH);
    let whole = values(&run(&tensors[0], &tensors[1], &tensors[2], &settings).unwrap());
    let (qkv, out) = (values(&tensors[1]), values(&tensors[2]));
    let weights = Weights::new(&qkv, &out, WIDTH, 2, settings.rotary.clone(), Products::F32);
    for pieces in [&[70][..], &[1, 69], &[33, 31, 6], &[64, 1, 1, 1, 1, 1, 1]] {
        let (mut x, mut scratch) = (values(&tensors[0]), Scratch::default());
        let (mut prompt, mut own) = (weights.key_values(), weights.key_values());
        let mut rest = &mut x[..];
        for (index, &length) in pieces.iter().enumerate() {
            let (piece, below) = rest.split_at_mut(length * WIDTH);
            // The first piece is the prompt; the others grow a cache of their own behind it.
            let prompts: &[&KeyValues] = if index == 0 { &[] } else { &[&prompt.clone()] };
            let own = if index == 0 { &mut prompt } else { &mut own };
            let memory = Memory::Kept { prompts, own: &mut [own] };
            forward(piece, &[length], &weights, memory, &Masks::default(), None, &mut scratch);
            rest = below;
        }
        assert!(x == whole, "cut into {pieces:?}");
    }
}

#[test]
fn histories_read_together_have_the_bits_of_each_alone() {
    let lengths = [3, 1, 40];
    let settings = settings(&lengths, WIDTH, 4, false);
    let tensors = variables(44, WIDTH);
    let together = values(&run(&tensors[0], &tensors[1], &tensors[2], &settings).unwrap());
    let weights = Weights::new(&values(&tensors[1]), &values(&tensors[2]), WIDTH, 4, None, Products::F32);
    let (mut x, mut once) = (values(&tensors[0]), weights.key_values());
    let mut rest = &mut x[..];
    for length in lengths {
        let (piece, below) = rest.split_at_mut(length * WIDTH);
        let memory = Memory::Once(&mut once);
        forward(piece, &[length], &weights, memory, &Masks::default(), None, &mut Scratch::default());
        rest = below;
    }
    assert!(x == together);
}

#[test]
fn a_row_of_the_mlp_does_not_depend_on_its_neighbours() {
    let tensors = mlp::variables(600, WIDTH, 50);
    let settings = upnext_model::ops::mlp::Settings { layer: 0, drop: None, products: Products::F32 };
    let fused = upnext_model::ops::mlp::run(&tensors[0], &tensors[1], &tensors[2], &settings);
    let weights = upnext_model::ops::mlp::Weights::new(
        &values(&tensors[1]),
        &values(&tensors[2]),
        WIDTH,
        50,
        Products::F32,
    );
    let (mut x, mut scratch) = (values(&tensors[0]), upnext_model::ops::mlp::Scratch::default());
    for row in x.chunks_mut(WIDTH) {
        upnext_model::ops::mlp::forward(row, &weights, None, None, &mut scratch);
    }
    assert!(x == values(&fused.unwrap()));
}
