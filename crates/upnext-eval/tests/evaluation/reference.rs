//! The baselines on published data, against the numbers that every model is compared with.
//!
//! Protocol `loo`, full ranking, seen dropped, ties against the system. The data may not be
//! redistributed; without them these tests say that they were skipped.

use std::path::{Path, PathBuf};

use upnext_data::{Prepared, Protocol};
use upnext_eval::{Asked, Metric, Options, Part, Seen, baselines, evaluate};
use upnext_tables::{PrepareOptions, prepare};

/// HR@10 and NDCG@10, and what is chosen on validation: (window, decay, ν).
struct Expected {
    name: &'static str,
    hit_rate: f64,
    ndcg: f64,
    chosen: Option<(u64, f64, f64)>,
}

/// A published number is printed with four digits.
const TOLERANCE: f64 = 1e-4;

fn folder(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let found = std::env::var_os("UPNEXT_DATA").map_or(beside, PathBuf::from).join(name);
    if found.join("interactions.csv.zst").is_file() {
        return Some(found);
    }
    println!("skipped: {} is not there; UPNEXT_DATA names the folder that holds {name}", found.display());
    None
}

fn check(name: &str, expected: &[Expected]) {
    let Some(folder) = folder(name) else { return };
    let temporary = tempfile::tempdir().unwrap();
    let out = temporary.path().join("data");
    let options =
        PrepareOptions { events: vec![folder.join("interactions.csv.zst")], ..PrepareOptions::default() };
    prepare(&options, &out, &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
    let Prepared { catalog, histories, .. } = Prepared::open(&out).unwrap();
    let split = Protocol::LeaveOneOut.split(&histories).unwrap();
    let asked = Asked {
        histories: &histories,
        split: &split,
        part: Part::Test,
        items: catalog.len(),
        trained: &[],
        seed: 1,
    };
    let mut fitted = baselines::fit(&asked, None, Seen::Dropped, Options::default()).unwrap();
    // Where a held-out item occurs nowhere else, a random order is printed, too.
    fitted.retain(|baseline| baseline.scorer.name() != "random");
    assert_eq!(fitted.len(), expected.len());
    for (baseline, expected) in fitted.iter().zip(expected) {
        let scorer = baseline.scorer.as_ref();
        assert_eq!(scorer.name(), expected.name);
        let outcome = evaluate(scorer, &histories, &split.test, Options::default()).unwrap();
        let found = [Metric::HitRate(10), Metric::Ndcg(10)].map(|metric| outcome.mean(metric, Seen::Dropped));
        println!("{name}: {} {found:?} {}", expected.name, baseline.parameters);
        for (found, expected) in found.into_iter().zip([expected.hit_rate, expected.ndcg]) {
            assert!((found - expected).abs() < TOLERANCE, "{name}: {found} against {expected}");
        }
        if let Some((window, decay, norm)) = expected.chosen {
            let chosen = &baseline.parameters;
            assert_eq!(chosen["window"], window);
            assert_eq!((chosen["decay"].as_f64(), chosen["norm"].as_f64()), (Some(decay), Some(norm)));
        }
    }
}

#[test]
fn baselines_of_movielens_1m_are_the_published_ones() {
    check(
        "ml-1m-sasrec",
        &[
            Expected { name: "popularity", hit_rate: 0.0369, ndcg: 0.0180, chosen: None },
            Expected {
                name: baselines::FIRST_ORDER,
                hit_rate: 0.2144,
                ndcg: 0.1259,
                chosen: Some((1, 1.0, 1.0)),
            },
            Expected {
                name: baselines::WINDOWED,
                hit_rate: 0.2752,
                ndcg: 0.1606,
                chosen: Some((10, 0.8, 0.75)),
            },
        ],
    );
}

#[test]
fn baselines_of_amazon_beauty_are_the_published_ones() {
    check(
        "amazon-beauty",
        &[
            Expected { name: "popularity", hit_rate: 0.0110, ndcg: 0.0053, chosen: None },
            Expected {
                name: baselines::FIRST_ORDER,
                hit_rate: 0.0663,
                ndcg: 0.0433,
                chosen: Some((1, 1.0, 1.0)),
            },
            Expected {
                name: baselines::WINDOWED,
                hit_rate: 0.0806,
                ndcg: 0.0506,
                chosen: Some((10, 0.6, 1.0)),
            },
        ],
    );
}
