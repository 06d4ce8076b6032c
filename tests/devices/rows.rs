//! Each row operation on a GPU against its form for the CPU, on lists with padding, ties and numbers that are not finite.

use candle_core::{DType, Device, Result, Tensor, Var};
use upnext_kernels::dropout::Mask;
use upnext_kernels::rows::Adam;
use upnext_model::ops::rows::{
    Gathered, Late, PADDING, Parcel, Squares, control, drop_probabilities, drop_tokens, gather_rows, moments,
    pick_rows, top_k, update_all, update_rows,
};

const ADAM: Adam = Adam {
    lr: 0.1,
    beta1: 0.9,
    beta2: 0.98,
    eps: 1e-8,
    weight_decay: 0.1,
    correction1: 1.9,
    correction2: 3.1,
};
const MASK: Mask = Mask { key: 77, rate: 0.4 };

fn noise(seed: usize, shape: &[usize], device: &Device) -> Result<Tensor> {
    let values = (0..shape.iter().product()).map(|at: usize| ((at * 71 + seed * 13) as f32).sin()).collect();
    Tensor::from_vec::<_, f32>(values, shape, device)
}

/// Every operation's result by name, flat; `exact` ones have no sum in them.
fn results(device: &Device) -> Result<Vec<(&'static str, bool, Vec<f32>)>> {
    let (n, u, r) = (700, 150, 33);
    let ids: Vec<u32> = (0..n).map(|p| if p % 7 == 0 { PADDING } else { (p * p % u) as u32 }).collect();
    let mut parcel = Parcel::default();
    let gathered = Gathered::put(&mut parcel, &ids, u)?;
    let named = parcel.put(&[0, 3, 17, 149, PADDING, PADDING]);
    let histories = parcel.put(&[4, PADDING, 0]);
    let (sent, mut found) = (parcel.send(device)?, Vec::new());
    let mut add = |name, exact, tensor: &Tensor| -> Result<()> {
        found.push((name, exact, tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?));
        Ok(())
    };

    let (ids_n, inverse) = gathered.open(&sent)?;
    let leaf = Var::from_tensor(&noise(1, &[u, r], device)?)?;
    let rows = gather_rows(leaf.as_tensor(), &ids_n, &inverse)?;
    add("gather", true, &rows)?;
    let gradients = (&rows * noise(2, &[n, r], device)?)?.sum_all()?.backward()?;
    let gradient = gradients.get(leaf.as_tensor()).cloned();
    let gradient = gradient.map_or_else(|| candle_core::bail!("the leaf has no gradient"), Ok)?;
    add("gradient of a gather", false, &gradient)?;
    add("pick", true, &pick_rows(leaf.as_tensor(), &ids_n)?)?;

    add("tokens dropped", true, &drop_tokens(&noise(3, &[n, r], device)?, &ids_n, MASK)?)?;
    let probabilities = noise(4, &[3, 2, 20, 20], device)?;
    add("probabilities dropped", true, &drop_probabilities(&probabilities, &sent.list(&histories)?, MASK)?)?;

    let squares = Squares::new(3, device)?;
    squares.set(0, &gradient)?;
    squares.set(2, &noise(5, &[100_003], device)?)?;
    let control_4 = control(&squares, &Tensor::new(0.5_f32, device)?, 1.0)?;
    add("control", false, &control_4)?;
    squares.set(1, &Tensor::new(&[f32::NAN], device)?)?;
    let stop = control(&squares, &Tensor::new(0.5_f32, device)?, 1.0)?;
    let mut late = Late::default();
    late.post(&control_4)?;
    late.post(&stop)?;
    for name in ["control, late", "control of what is not finite, late"] {
        let flag = late.read()?.map_or(f32::NAN, |control| control[1]);
        add(name, true, &Tensor::new(flag, device)?)?;
    }

    for (name, all) in [("a dense update", true), ("an update of rows", false)] {
        let table = noise(6, &[u, r], device)?;
        let own = moments(&table)?;
        for control in [&control_4, &stop] {
            match all {
                true => update_all(&table, &own, &gradient, control, &ADAM)?,
                false => {
                    // Metal's form takes no padding.
                    let count = if device.is_metal() { 4 } else { 6 };
                    let ids = sent.list(&named)?.narrow(0, 0, count)?;
                    let gradient = noise(7, &[6, r], device)?.narrow(0, 0, count)?;
                    update_rows(&table, &own, &ids, &gradient, control, &ADAM)?;
                }
            }
        }
        add(name, false, &table)?;
        add(name, false, &own)?;
    }

    let mut scores: Vec<f32> = (0..3 * 9001).map(|at| (at * 7919 % 997) as f32).collect();
    [scores[5], scores[9010], scores[20_000]] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let (best, ids) = top_k(&Tensor::from_vec(scores, (3, 9001), device)?, 50)?;
    add("best scores", true, &best)?;
    add("their ids", true, &ids)?;
    Ok(found)
}

#[test]
fn row_operations_on_a_gpu_are_the_cpus() {
    let wanted = results(&Device::Cpu).unwrap();
    for device in super::gpus() {
        let found = results(&device).unwrap();
        for ((name, exact, found), (_, _, wanted)) in found.iter().zip(&wanted) {
            let bound = if *exact { 0.0 } else { 1e-5 };
            let apart = super::apart(found, wanted);
            assert!(apart <= bound, "{device:?}: {name}: {apart}");
        }
    }
}
