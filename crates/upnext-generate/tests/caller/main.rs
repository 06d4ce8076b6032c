//! A generator on its caller's thread starts no other: alone in its process, since rayon's own pool is one for all of it.

use upnext_data::ItemId;
use upnext_generate::{Generator, Method, Options, Request, Scoring, Threads};
use upnext_kernels::score::{Homes, Plan};
use upnext_model::folder::{self, Index};

#[cfg(test)]
#[path = "../generate/support.rs"]
#[expect(dead_code, reason = "its other helpers serve other tests")]
mod support;

#[test]
fn neither_opening_nor_lists_start_rayons_own_pool() {
    use support::{card, catalog, config, counts, key, model, served};
    const ITEMS: usize = 700;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("model");
    let aside = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    aside.install(|| {
        let (model, catalog, counts) = (model(config(), ITEMS, 40.0), catalog(ITEMS), counts(ITEMS));
        folder::save(&dir, &model, &catalog, &counts, None, &card(), false).unwrap();
        let manifest = Generator::open(&dir, Options::default()).unwrap().manifest().clone();
        let plan = Plan { clusters: 24, homes: 2, rounds: 4, sample: 100 };
        let homes = Homes::find(&served(ITEMS).vectors.table(), plan, |_| ());
        folder::save_index(&dir, &manifest, &Index { homes, probes: 24, measured: Vec::new() }).unwrap();
    });
    let past = [3, 1, 4, 1, 5].map(ItemId);
    let methods = [
        Method::TopK,
        Method::Beam { width: 4 },
        Method::Hybrid { autoregressive: 2, width: 2 },
        Method::Sample { temperature: 0.7, top_k: 9, draws: 3 },
        Method::MultiToken,
    ];
    let ask = |method| Request::from_items(&past).length(5).method(method).build().unwrap();
    let requests = methods.map(ask);
    for scoring in [Scoring::Exact, Scoring::Bf16, Scoring::Int8, Scoring::BoundedClusters] {
        let options = Options { scoring, threads: Threads::Caller, ..Options::default() };
        let generator = Generator::open(&dir, options).unwrap();
        assert!(generator.generate(&requests).into_iter().all(|slate| slate.unwrap().items.len() == 5));
        assert!(generator.states(&requests).iter().all(Result::is_ok));
        assert_eq!(generator.similar(&key(5), 3).unwrap().len(), 3);
        assert_eq!(generator.explain(&requests[0], &[&key(7)], 2).unwrap().len(), 1);
        let generator = generator.scored_by(Scoring::Int8, None).unwrap();
        assert!(generator.generate(&requests).iter().all(Result::is_ok));
    }
    assert!(rayon::ThreadPoolBuilder::new().build_global().is_ok(), "somebody has started rayon's own pool");
}
