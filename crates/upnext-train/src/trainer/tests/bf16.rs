//! Runs with `precision = "bf16"` on the CPU: on its tiles where it has them, in f32 and saying so elsewhere.

use std::sync::atomic::{AtomicBool, Ordering};

use upnext_kernels::tiles::Tiles;

use super::*;

fn bf16(overrides: &[(&str, &str)]) -> RunConfig {
    config(&[&[("train.precision", "\"bf16\"")], overrides].concat())
}

#[test]
fn a_run_says_what_it_multiplies_with() {
    let data = data(1);
    let expected = match Tiles::here() {
        Some(_) => Precision::Bf16,
        None => {
            println!("no bf16 tiles here: the run is one in f32");
            Precision::F32
        }
    };
    let (done, whole) = (run(&bf16(&[]), &data), run(&config(&[]), &data));
    let Event::Started { precision, products, .. } = done.events[0] else { panic!() };
    assert_eq!((precision, products), (Precision::Bf16, expected));
    assert_eq!(done.losses() == whole.losses(), expected == Precision::F32, "other products, other bits");
    let log = fs::read_to_string(done.dir.join("metrics.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!((&line["event"], &line["products"]), (&"started".into(), &expected.to_string().into()));
}

#[test]
fn threads_and_interruptions_move_no_bit() {
    let (config, data) = (bf16(&[("train.max_epochs", "6")]), data(1));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&config, &data))
    };
    let one = on(1);
    for threads in [2, 3] {
        let more = on(threads);
        assert_eq!(one.losses(), more.losses(), "{threads} threads");
        assert_same_weights(&more.dir, &one.dir, "threads");
    }
    let keep = tempfile::tempdir().unwrap();
    let (dir, stop) = (keep.path().join("run"), AtomicBool::new(false));
    let mut see = |event: &Event| {
        stop.fetch_or(matches!(event, Event::Step { step: 7, .. }), Ordering::Relaxed);
    };
    let stopping = TrainOptions { stop: Some(&stop), ..options() };
    assert_eq!(train(&config, &data, &dir, &stopping, &mut see).unwrap().steps, 7);
    let second = go(&config, &data, &dir, &resume());
    assert_eq!(second.losses(), one.losses()[7..]);
    assert_eq!(second.count(|event| matches!(event, Event::OtherProducts { .. })), 0);
    assert_same_weights(&dir, &one.dir, "stopped after 7");
}
