//! scratch
#![allow(missing_docs, clippy::all)]
use upnext_train::*;
use std::path::Path;
use upnext_data::*;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let data = if args[1] == "synthetic" {
        let items: usize = args[2].parse().unwrap();
        let users = 2000usize;
        let mut ids = vec![]; let mut times = vec![]; let mut offs = vec![0u64];
        let mut x = 88172645463325252u64;
        for _ in 0..users { for t in 0..120 { x ^= x << 13; x ^= x >> 7; x ^= x << 17; ids.push(ItemId((x % items as u64) as u32)); times.push(t); } offs.push(ids.len() as u64); }
        let keys: Strings = (0..items).map(|i| format!("{i:08}")).collect();
        let us: Strings = (0..users).map(|i| format!("{i:08}")).collect();
        let c = Catalog::new(keys, vec![]).unwrap(); let h = Histories::new(us, offs, ids, times).unwrap();
        let d = std::env::temp_dir().join(format!("measure-{items}"));
        Prepared::write(&d, &c, &h, serde_json::Value::Null, true).unwrap();
        drop((c,h));
        Prepared::open(&d).unwrap()
    } else { Prepared::open(Path::new(&args[1])).unwrap() };
    let mut config = RunConfig::default();
    let sets: Vec<(&str,&str)> = args[3..].iter().map(|s| s.split_once('=').unwrap()).collect();
    config.set_all(&sets).unwrap();
    let out = std::env::temp_dir().join("measure-run");
    let mut need = 0;
    let mut n = 0u64;
    let summary = train(&config, &data, &out, &TrainOptions { overwrite: true, checkpoint_every: Every::Steps(1_000_000), ..TrainOptions::default() }, &mut |e| match e {
        Event::Started { memory, .. } => { need = memory.total(); println!("{memory:?} rss {:?}", memory::resident_bytes()); }
        Event::Step { step, loss, tokens_per_second, gradient_norm, tokens, .. } => { n += 1; if n % 20 == 0 || n < 4 { println!("{step} {loss:.4} norm {gradient_norm:.3} {tokens} tok {tokens_per_second:.0}/s peak {:?}", memory::peak_rss_bytes().map(|b| b>>20)); } }
        Event::Validated { ndcg_10, seconds, step, .. } => println!("step {step} ndcg {ndcg_10:.4} in {seconds:.1}s peak {:?}", memory::peak_rss_bytes().map(|b| b>>20)),
        Event::Finished(_) | Event::Checkpointed { .. } => println!("{:?} peak {:?}", std::mem::discriminant(e), memory::peak_rss_bytes().map(|b| b>>20)),
        _ => {}
    }).unwrap();
    println!("estimate {} MiB, peak {} MiB, {:.0} tok/s", need >> 20, summary.peak_rss_bytes.unwrap() >> 20, summary.tokens_per_second);
}
