//! A short training, and lists, on a device against the CPU's own.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use tempfile::TempDir;
use upnext_data::synthetic::{World, WorldConfig};
use upnext_data::{ItemId, Prepared};
use upnext_generate::{Generator, Options, Request};
use upnext_model::ops::rows::{PADDING, Parcel, top_k};
use upnext_model::padded::{Padder, Places};
use upnext_model::{Card, Model, ModelConfig, folder};
use upnext_train::{Event, RunConfig, Summary, TrainOptions};

fn world(folder: &Path) -> Prepared {
    let world = World::new(WorldConfig::tiny(), 7).unwrap();
    let (catalog, histories) = (world.catalog().unwrap(), world.histories().unwrap());
    Prepared::write(folder, &catalog, &histories, serde_json::Value::Null, false).unwrap();
    Prepared::open(folder).unwrap()
}

/// A run's losses and its summary.
fn train(data: &Prepared, precision: &str, device: Option<&Device>) -> (Vec<f64>, Summary) {
    let text = format!(
        "model = {{ layers = 2, width = 32, heads = 2, hidden = 40, rank = 16, window = 50, dropout = 0.2 }}\n\
         loss = {{ count = 64 }}\ntrain = {{ users = 32, max_steps = 60, eval_every = 30, precision = \"{precision}\" }}"
    );
    let config = RunConfig::from_toml(&text, "short.toml".as_ref()).unwrap();
    let (keep, mut losses) = (TempDir::new().unwrap(), Vec::new());
    let options = TrainOptions { device, ..TrainOptions::default() };
    let mut see = |event: &Event| {
        if let Event::Step { loss, .. } = event {
            losses.push(*loss);
        }
    };
    let summary = upnext_train::train(&config, data, &keep.path().join("run"), &options, &mut see).unwrap();
    (losses, summary)
}

#[test]
fn a_short_training_has_the_cpus_losses() {
    let keep = TempDir::new().unwrap();
    let data = world(&keep.path().join("data"));
    let (wanted, own) = train(&data, "f32", None);
    assert_eq!(wanted.len(), 60);
    assert!(wanted[59] < wanted[0]);
    for device in super::devices() {
        for (precision, bound) in [("f32", 1e-3), ("bf16", 0.03)] {
            let (found, summary) = train(&data, precision, Some(&device));
            for (step, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                let apart = (found - wanted).abs() / wanted;
                assert!(apart < bound, "{device:?} {precision}: step {step}: {found} and {wanted}");
            }
            let [own, found] = [&own, &summary].map(|summary| summary.best.as_ref().unwrap().ndcg_10());
            assert!((own - found).abs() < 0.05, "{device:?} {precision}: {own} and {found}");
        }
    }
}

#[test]
fn the_best_items_of_a_device_are_the_generators() {
    let keep = TempDir::new().unwrap();
    let data = world(&keep.path().join("data"));
    let items = data.catalog.len();
    let config = ModelConfig {
        layers: 2,
        width: 32,
        heads: 2,
        hidden: 40,
        rank: 16,
        window: 50,
        ..ModelConfig::default()
    };
    let model = Model::new(config.clone(), items, 3).unwrap();
    let card = Card { protocol: "loo".to_owned(), data_hash: data.manifest.data_hash(), ..Card::default() };
    let path = keep.path().join("model");
    folder::save(&path, &model, &data.catalog, &vec![1; items], None, &card, false).unwrap();

    let histories: Vec<Vec<ItemId>> = [3_usize, 50, 1, 17]
        .iter()
        .map(|&len| (0..len).map(|at| ItemId((at * at * 7 + len) as u32 % items as u32)).collect())
        .collect();
    let requests: Vec<Request> = histories
        .iter()
        .map(|history| Request::from_items(history).length(10).keep_seen(true).build().unwrap())
        .collect();
    let generator = Generator::open(&path, Options::default()).unwrap();
    let slates = generator.generate(&requests);

    let tokens: Vec<u32> = histories.iter().flatten().map(|item| item.0).collect();
    let offsets: Vec<usize> =
        (0..=histories.len()).map(|j| histories[..j].iter().map(Vec::len).sum()).collect();
    for device in super::devices() {
        let mut padder = Padder::new(&config, DType::F32, &device).unwrap();
        let (places, mut parcel) = (Places::new(&offsets, 50).unwrap(), Parcel::default());
        let packed = padder.pack(&mut parcel, &places, &tokens, items).unwrap();
        let batch = padder.open(&packed, &parcel.send(&device).unwrap()).unwrap();
        let table = Tensor::from_slice(model.input_table().rows(), (items, 16), &device).unwrap();
        let parameters = model.parameters().to_device(&device).unwrap();
        let states = batch.forward(&config, &parameters, &table, None).unwrap();
        let row_of = places.spread(&(0..tokens.len() as u32).collect::<Vec<_>>(), PADDING);
        let last = offsets[1..]
            .iter()
            .map(|&end| row_of.iter().position(|&token| token as usize == end - 1).unwrap() as u32);
        let last = Tensor::from_vec(last.collect::<Vec<u32>>(), histories.len(), &device).unwrap();
        let states = states.index_select(&last, 0).unwrap();
        let scores = states.matmul(&table.t().unwrap()).unwrap();
        let (best, ids) = top_k(&scores, 10).unwrap();
        let (best, ids) = (best.to_vec2::<f32>().unwrap(), ids.to_vec2::<u32>().unwrap());
        let scores = scores.to_vec2::<f32>().unwrap();
        for (j, slate) in slates.iter().enumerate() {
            let slate = slate.as_ref().unwrap();
            for (rank, item) in slate.items.iter().enumerate() {
                // Another item of the same score within rounding is as good.
                let own = scores[j][item.item.0 as usize];
                let apart = (own - best[j][rank]).abs();
                assert!(apart < 1e-5, "{device:?}: rank {rank} is {:?} and {}", item.item, ids[j][rank]);
            }
        }
    }
}
