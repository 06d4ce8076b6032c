//! t
use std::time::Instant;
use upnext_data::{Catalog, ItemId};
use upnext_generate::*;
use upnext_model::*;
fn main() {
    for (items, width) in [(3416usize, 64usize), (1_000_000, 64)] {
        let config = ModelConfig { width, ..ModelConfig::default() };
        let model = Model::new(config, items, 1).unwrap();
        let card = Card { run: Default::default(), protocol: "loo".into(), data_hash: String::new(), metrics: Default::default(), trained: Trained::default() };
        let catalog = Catalog::new((0..items).map(|i| format!("i{i:08}")).collect(), vec![]).unwrap();
        let g = Generator::from_parts(Served::from_model(&model, catalog, vec![1; items], &card).unwrap(), Options::default()).unwrap();
        for (name, method) in [("topk", Method::TopK), ("beam8", Method::Beam { width: 8 })] {
            for b in [1usize, 32, 256] {
                if items > 10_000 && b > 32 { continue; }
                let rs: Vec<Request> = (0..b).map(|u| {
                    let h: Vec<ItemId> = (0..190).map(|j| ItemId(((u * 7919 + j * 104_729) % items) as u32)).collect();
                    Request::from_items(&h).length(10).method(method).build().unwrap()
                }).collect();
                let mut best = f64::MAX;
                for _ in 0..5 { let t = Instant::now(); let n = g.generate(&rs).len(); assert_eq!(n, b); best = best.min(t.elapsed().as_secs_f64()); }
                println!("{items} {name} batch {b}: {:.2} ms, {:.3} ms/request", best * 1e3, best * 1e3 / b as f64);
            }
        }
    }
}
