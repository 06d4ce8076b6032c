//! Reports and records where some targets are cold, against a plain count.

use upnext_data::{Catalog, FeatureFile, Histories, ItemFeatures, ItemId, Modality, Protocol, Split};
use upnext_eval::{
    Asked, Cold, Error, How, Metric, On, Options, Part, Record, Report, Result, Scorer, Seen, Side,
    baselines, compare, evaluate_with_cold,
};

use crate::toy::{self, Hashed};

const ITEMS: usize = 60;

fn cold_split() -> (Histories, Split) {
    let histories = toy::histories(300, ITEMS, 8);
    let protocol: Protocol = "cold:0.2,3".parse().unwrap();
    let split = protocol.split(&histories).unwrap();
    (histories, split)
}

fn asked<'a>(histories: &'a Histories, split: &'a Split) -> Asked<'a> {
    Asked { histories, split, part: Part::Test, items: ITEMS, trained: &[], seed: 1 }
}

/// Two numbers an item, without one for item 0; neighbours are alike, as they follow each other in the histories.
fn features(catalog: &Catalog) -> ItemFeatures {
    let items: Vec<u32> = (1..ITEMS as u32).collect();
    let values =
        items.iter().flat_map(|&item| [(item as f32 / 9.0).cos(), (item as f32 / 9.0).sin()]).collect();
    let modality = Modality { name: "text".into(), width: 2, items, values };
    let file =
        FeatureFile { keys: catalog.keys().clone(), encoder: "by hand".into(), modalities: vec![modality] };
    ItemFeatures::of(catalog, &[file]).unwrap().0
}

#[test]
fn ranks_among_the_cold_are_those_of_a_plain_count() {
    let (histories, split) = cold_split();
    let cold = Cold::of(&asked(&histories, &split).counts().unwrap());
    assert!((5..20).contains(&cold.items().len()), "{:?}", cold.items());
    let scorer = Hashed { items: ITEMS, levels: 20 };
    let outcome = evaluate_with_cold(&scorer, &histories, &split.test, &cold, Options::default()).unwrap();
    let mut found = 0;
    for (place, question) in split.test.iter().enumerate() {
        let (input, target) = (question.input(&histories).items, question.held_out(&histories).items[0]);
        let mut scores = vec![0.0; ITEMS];
        scorer.score(&[input], &mut scores).unwrap();
        let ahead = cold
            .items()
            .iter()
            .map(|&item| ItemId(item))
            .filter(|item| *item == target || !input.contains(item))
            .filter(|item| scores[item.index()] >= scores[target.index()])
            .count() as u32;
        let expected = cold.has(target).then_some(ahead);
        assert_eq!(outcome.rank_among_cold[place], expected);
        found += usize::from(expected.is_some());
    }
    assert!(found > 10, "only {found} cold questions");
}

#[test]
fn a_cold_report_holds_every_system_apart_and_counts() {
    let (histories, split) = cold_split();
    let catalog = toy::catalog(ITEMS);
    let asked = asked(&histories, &split);
    let features = features(&catalog);
    let baselines = baselines::fit(&asked, Some(&features), Seen::Dropped, Options::default()).unwrap();
    let names: Vec<&str> = baselines.iter().map(|baseline| baseline.scorer.name()).collect();
    assert_eq!(names, ["random", "popularity", baselines::FIRST_ORDER, baselines::WINDOWED, "content-knn"]);
    let scorer = Hashed { items: ITEMS, levels: 1 << 20 };
    let report = Report::measure(&scorer, &baselines, &asked, Options::default()).unwrap();
    let counts = report.cold_start.unwrap();
    let drawn = (0..ITEMS as u32).filter(|&item| split.protocol.is_cold(ItemId(item))).count();
    assert_eq!((counts.drawn, counts.ineligible, counts.ineligible_questions), (drawn, 0, 0));
    assert!(counts.items >= drawn);
    let value = serde_json::to_value(&report).unwrap();
    let rivals = value["baselines"].as_object().unwrap();
    assert_eq!(rivals.len(), 5);
    for system in rivals.values().chain([&value]) {
        let (cold, warm) = (&system["cold"], &system["warm"]);
        let many = |part: &serde_json::Value| part["questions"].as_u64().unwrap();
        assert_eq!(many(cold), counts.questions as u64);
        assert_eq!(many(cold) + many(warm), value["questions"].as_u64().unwrap());
        for metrics in [cold, &cold["kept"], &cold["among_cold"], warm, &warm["kept"]] {
            let found = metrics["ndcg@10"].as_f64().unwrap();
            let [low, high] = [0, 1].map(|end| metrics["ci95"]["ndcg@10"][end].as_f64().unwrap());
            assert!(low <= found && found <= high);
        }
        assert!(warm["among_cold"].is_null());
        assert!(cold["among_cold"]["mrr"].as_f64() >= cold["mrr"].as_f64());
        let mean = |part: &serde_json::Value| part["mrr"].as_f64().unwrap() * many(part) as f64;
        let whole = value["questions"].as_f64().unwrap() * system["mrr"].as_f64().unwrap();
        assert!((mean(cold) + mean(warm) - whole).abs() < 1e-9);
    }
    // No training event, no place: ties at the bottom count against it. What is like the last events can be found.
    assert_eq!(rivals["popularity"]["cold"]["hr@20"], 0.0);
    assert!(rivals["content-knn"]["cold"]["ndcg@10"].as_f64().unwrap() > 0.1);
    assert!(rivals["content-knn"]["parameters"]["validation_ndcg@10"].is_number());
    let table = report.table();
    for word in
        ["cold targets among all items", "cold targets among the cold items", "warm targets", "random"]
    {
        assert!(table.contains(word), "{word} is not in\n{table}");
    }
    assert!(table.lines().all(|line| line.chars().count() < 120), "{table}");
}

#[test]
fn where_nothing_cold_is_asked_a_report_is_as_before() {
    let histories = toy::histories(300, ITEMS, 8);
    let split = Protocol::LeaveOneOut.split(&histories).unwrap();
    let asked = asked(&histories, &split);
    assert!(Cold::of(&asked.counts().unwrap()).items().is_empty());
    let baselines = baselines::fit(&asked, None, Seen::Dropped, Options::default()).unwrap();
    let scorer = Hashed { items: ITEMS, levels: 1 << 20 };
    let report = Report::measure(&scorer, &baselines, &asked, Options::default()).unwrap();
    let value = serde_json::to_value(&report).unwrap();
    for key in ["cold_start", "cold", "warm"] {
        assert!(value.get(key).is_none(), "{key}");
    }
    assert!(value["baselines"].get("random").is_none() && !report.table().contains("cold targets"));
}

#[test]
fn what_a_system_was_trained_on_before_is_cold_to_nobody() {
    let (histories, split) = cold_split();
    let asked = asked(&histories, &split);
    let counts = asked.counts().unwrap();
    let cold = asked.cold(&counts);
    let (first, rest) = cold.items().split_first().unwrap();
    let mut trained = counts.clone();
    trained[*first as usize] = 3;
    let knowing = Asked { trained: &trained, ..asked };
    assert_eq!(knowing.cold(&counts).items(), rest);
    // All that is asked for being known, nothing is told apart: in no part of the report.
    let knowing = Asked { trained: &[1; ITEMS], ..asked };
    let baselines = baselines::fit(&knowing, None, Seen::Dropped, Options::default()).unwrap();
    let report =
        Report::measure(&Hashed { items: ITEMS, levels: 1 << 20 }, &baselines, &knowing, Options::default())
            .unwrap();
    assert!(report.cold_start.is_none() && report.baseline("random").is_none());
    assert!(report.slices.target.iter().all(|slice| slice.name == "warm"));
}

/// Scores as [`Hashed`] and never recommends some items.
struct Without<'a>(&'a [u32]);

impl Scorer for Without<'_> {
    fn name(&self) -> &str {
        "without"
    }

    fn items(&self) -> usize {
        ITEMS
    }

    fn score(&self, inputs: &[&[ItemId]], out: &mut [f32]) -> Result<()> {
        Hashed { items: ITEMS, levels: 1 << 20 }.score(inputs, out)?;
        for row in out.chunks_exact_mut(ITEMS) {
            self.0.iter().for_each(|&item| row[item as usize] = f32::NEG_INFINITY);
        }
        Ok(())
    }

    fn ineligible(&self) -> &[u32] {
        self.0
    }
}

#[test]
fn targets_that_are_never_recommended_are_counted_and_missed() {
    let (histories, split) = cold_split();
    let asked = asked(&histories, &split);
    let cold = Cold::of(&asked.counts().unwrap());
    let report = Report::measure(&Without(cold.items()), &[], &asked, Options::default()).unwrap();
    let counts = report.cold_start.unwrap();
    assert_eq!((counts.ineligible, counts.ineligible_questions), (cold.items().len(), counts.questions));
    let found = report.metrics.cold.as_ref().unwrap();
    assert_eq!(found.dropped.get(Metric::HitRate(20)), Some(0.0));
    assert!(report.table().contains("are never recommended, a miss in"));
}

#[test]
fn a_record_holds_the_ranks_and_compares_a_baseline_with_the_model() {
    let (histories, split) = cold_split();
    let catalog = toy::catalog(ITEMS);
    let asked = asked(&histories, &split);
    let baselines =
        baselines::fit(&asked, Some(&features(&catalog)), Seen::Dropped, Options::default()).unwrap();
    let scorer = Hashed { items: ITEMS, levels: 1 << 20 };
    let report = Report::measure(&scorer, &baselines, &asked, Options::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.json");
    Record::of(&report, &asked, &catalog).unwrap().write(&path).unwrap();
    let record = Record::read(&path).unwrap();
    assert_eq!(record.len(), report.questions);
    assert_eq!(record.system(None).unwrap().dropped, report.metrics.outcome.rank_dropped);
    let (model, knn) = (Side::new(&record, None).unwrap(), Side::new(&record, Some("content-knn")).unwrap());
    for (on, seen, metrics) in [
        (On::All, Seen::Dropped, &report.metrics.dropped),
        (On::All, Seen::Kept, &report.metrics.kept),
        (On::Cold, Seen::Dropped, &report.metrics.cold.as_ref().unwrap().dropped),
        (On::AmongCold, Seen::Dropped, report.metrics.cold.as_ref().unwrap().among_cold.as_ref().unwrap()),
        (On::Warm, Seen::Kept, &report.metrics.warm.as_ref().unwrap().kept),
    ] {
        let how = How { metrics: vec![Metric::Ndcg(10)], on, seen, resamples: 1_000, seed: 1 };
        let found = compare(&[model], &[vec![knn]], &how).unwrap();
        let difference = &found.comparisons[0].differences[0];
        assert!((difference.reference - metrics.get(Metric::Ndcg(10)).unwrap()).abs() < 1e-12);
        assert!(on == On::Warm || difference.p < 0.01, "{difference:?}");
    }
    assert!(matches!(Side::new(&record, Some("oracle")), Err(Error::NoSystem { .. })));
}
