//! A generator on its caller's thread starts no other: alone in its process, since rayon's own pool is one for all of it.

use upnext_data::ItemId;
use upnext_generate::{Generator, Method, Options, Request, Scoring, Threads};
use upnext_kernels::score::{Homes, Plan};
use upnext_model::folder::Index;

#[cfg(test)]
#[path = "../generate/support.rs"]
#[expect(dead_code, reason = "its other helpers serve other tests")]
mod support;

use support::served;

#[test]
fn neither_opening_nor_lists_start_rayons_own_pool() {
    const ITEMS: usize = 700;
    let plan = Plan { clusters: 24, homes: 2, rounds: 4, sample: 100 };
    let aside = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let homes = aside.install(|| Homes::find(&served(ITEMS).vectors.table(), plan, |_| ()));
    let past = [3, 1, 4, 1, 5].map(ItemId);
    let methods = [Method::TopK, Method::Beam { width: 4 }];
    let ask = |method| Request::from_items(&past).length(5).method(method).build().unwrap();
    let requests = methods.map(ask);
    for scoring in [Scoring::Exact, Scoring::Bf16, Scoring::Int8, Scoring::BoundedClusters] {
        let options = Options { scoring, threads: Threads::Caller, ..Options::default() };
        let index = Index { homes: homes.clone(), probes: 24, measured: Vec::new() };
        let generator = Generator::with_index(aside.install(|| served(ITEMS)), Some(index), options).unwrap();
        assert!(generator.generate(&requests).into_iter().all(|slate| slate.unwrap().items.len() == 5));
        let generator = generator.scored_by(Scoring::Int8, None).unwrap();
        assert!(generator.generate(&requests).iter().all(Result::is_ok));
    }
    assert!(rayon::ThreadPoolBuilder::new().build_global().is_ok(), "somebody has started rayon's own pool");
}
