//! What lists as a whole must be like: pinned places, caps, shares, and their composition with everything else.

use std::collections::BTreeSet;

use upnext_data::ItemId;
use upnext_generate::{
    Adjustment, Generator, Method, Options, Request, RequestBuilder, RequestError, Slate, Threads,
};

use crate::support::{bits, draw, generator, has_genre, history, ids, key, one, partly_trained, served};

const METHODS: [Method; 8] = [
    Method::MultiToken,
    Method::DiverseBeam { width: 4, groups: 2, diversity: 1.0 },
    Method::TopK,
    Method::Beam { width: 1 },
    Method::Beam { width: 4 },
    Method::Hybrid { autoregressive: 2, width: 3 },
    Method::Sample { temperature: 1.0, top_k: 6, draws: 1 },
    Method::Sample { temperature: 1.3, top_k: 5, draws: 4 },
];

/// A random request in the words of a test, which can be checked without the generator.
struct Case {
    past: Vec<ItemId>,
    length: usize,
    method: Method,
    keep_seen: bool,
    deny: BTreeSet<u32>,
    /// Items from this year on.
    from: Option<u32>,
    pins: Vec<(usize, u32)>,
    /// At most so many of a genre.
    cap: Option<usize>,
    /// At least so many of a genre.
    shares: Vec<(usize, usize)>,
    diversify: f32,
    boost: f32,
}

impl Case {
    fn draw(case: u64, items: usize) -> Self {
        let pick = |part: u64, bound: usize| draw(case, (1 << 50) + part, bound);
        let method = METHODS[pick(0, METHODS.len())];
        let is_once = matches!(method, Method::TopK | Method::Hybrid { .. });
        let length = 1 + pick(1, 7);
        let pins: Vec<(usize, u32)> = (0..pick(2, 6).saturating_sub(3) as u64)
            .map(|pin| (pick(10 + pin, length), pick(20 + pin, items) as u32))
            .collect();
        let shares = (0..pick(3, 5).saturating_sub(2) as u64)
            .map(|share| (1 + pick(30 + share, 3), pick(40 + share, 3)))
            .collect();
        Self {
            past: history(case, pick(4, 30), items),
            length,
            method,
            keep_seen: pick(5, 3) == 0,
            deny: history(case + 10_000, pick(6, 6), items).iter().map(|item| item.0).collect(),
            from: (pick(7, 3) == 0).then(|| pick(8, items) as u32),
            pins,
            cap: (pick(9, 2) == 0).then(|| 1 + pick(60, 3)),
            shares,
            diversify: if is_once && pick(61, 3) == 0 { 0.7 } else { 0.0 },
            boost: if pick(62, 3) == 0 { 2.0 } else { 0.0 },
        }
    }

    fn request(&self, generator: &Generator) -> Request {
        let genres = generator.attribute("genres").unwrap();
        let denied: Vec<String> = self.deny.iter().map(|&item| key(item)).collect();
        let denied: Vec<&str> = denied.iter().map(String::as_str).collect();
        let mut builder = Request::from_items(&self.past)
            .length(self.length)
            .method(self.method)
            .keep_seen(self.keep_seen)
            .deny(&denied)
            .diversify(self.diversify)
            .adjust(Adjustment { popularity_penalty: self.boost, ..Adjustment::default() });
        if let Some(from) = self.from {
            builder = builder.only(&generator.items_where(&format!("year >= {}", 1950 + from)).unwrap());
        }
        for &(place, item) in &self.pins {
            builder = builder.pin(place, &key(item));
        }
        if let Some(most) = self.cap {
            builder = builder.at_most(most, &genres);
        }
        for &(least, genre) in &self.shares {
            let condition = format!("genres has {}", crate::support::GENRES[genre]);
            builder = builder.at_least(least, &generator.items_where(&condition).unwrap());
        }
        builder.build().unwrap()
    }

    fn allows(&self, item: u32) -> bool {
        !self.deny.contains(&item)
            && self.from.is_none_or(|from| item >= from)
            && (self.keep_seen || !self.past.contains(&ItemId(item)))
    }

    /// Checks a slate against the words.
    fn check(&self, slate: &Slate, items: usize, case: u64) {
        let shown = ids(slate);
        let pinned: Vec<u32> = {
            let mut pins = self.pins.clone();
            pins.sort_unstable();
            pins.iter().map(|&(_, item)| item).collect()
        };
        let distinct: BTreeSet<u32> = shown.iter().copied().collect();
        assert_eq!(distinct.len(), shown.len(), "case {case}: {shown:?}");
        for place in &slate.items {
            let is_pinned = pinned.contains(&place.item.0);
            assert_eq!(place.pinned, is_pinned, "case {case}");
            assert!(is_pinned || self.allows(place.item.0), "case {case}: {shown:?}");
            assert!(!is_pinned || place.score == 0.0, "case {case}");
        }
        let kept: Vec<u32> = shown.iter().copied().filter(|item| pinned.contains(item)).collect();
        assert_eq!(kept, pinned, "case {case}: {shown:?}");
        assert_eq!(slate.is_short(), shown.len() < self.length, "case {case}");
        if !slate.is_short() {
            for &(place, item) in &self.pins {
                assert_eq!(shown[place], item, "case {case}: {shown:?}");
            }
        }
        let of_genre = |genre: usize| shown.iter().filter(|&&item| has_genre(item, genre)).count();
        assert!(self.cap.is_none_or(|most| (0..3).all(|genre| of_genre(genre) <= most)), "case {case}");
        for &(least, genre) in &self.shares {
            assert!(of_genre(genre) >= least, "case {case}: {shown:?}");
        }
        if self.cap.is_none() && self.shares.is_empty() {
            let free = (0..items as u32).filter(|item| self.allows(*item) && !pinned.contains(item)).count();
            assert_eq!(shown.len(), self.length.min(free + pinned.len()), "case {case}");
        }
    }

    /// Whether the request could be answered at all, by what its own words say.
    fn is_contradictory(&self) -> bool {
        let places: BTreeSet<usize> = self.pins.iter().map(|&(place, _)| place).collect();
        let items: BTreeSet<u32> = self.pins.iter().map(|&(_, item)| item).collect();
        let is_forbidden =
            |item: &u32| self.deny.contains(item) || self.from.is_some_and(|from| *item < from);
        let over = |most: usize| {
            (0..3).any(|genre| items.iter().filter(|&&item| has_genre(item, genre)).count() > most)
        };
        let lacks = |&(least, genre): &(usize, usize)| {
            least - items.iter().filter(|&&item| has_genre(item, genre)).count().min(least)
        };
        let lacking: usize = self.shares.iter().map(lacks).sum();
        places.len() < self.pins.len()
            || items.len() < self.pins.len()
            || items.iter().any(is_forbidden)
            || self.cap.is_some_and(over)
            || lacking > self.length - places.len()
    }
}

#[test]
fn thousands_of_random_requests_keep_every_rule_or_say_which_they_cannot() {
    let (mut answered, mut refused, mut ended) = (0, 0, 0);
    for items in [9, 24, 60] {
        let generator = generator(items);
        let options = Options { threads: Threads::Pool(2), ..Options::default() };
        let pool = Generator::from_parts(served(items), options).unwrap();
        let cases: Vec<(u64, Case)> = (0..1200)
            .map(|case| case + items as u64 * 100_000)
            .map(|case| (case, Case::draw(case, items)))
            .collect();
        let requests: Vec<Request> = cases.iter().map(|(_, case)| case.request(&generator)).collect();
        let slates = generator.generate(&requests);
        let of_pool: Vec<Request> = cases.iter().map(|(_, case)| case.request(&pool)).collect();
        let pooled = pool.generate(&of_pool);
        for (((number, case), request), (slate, pooled)) in
            cases.iter().zip(&requests).zip(slates.iter().zip(&pooled))
        {
            match slate {
                Ok(slate) => {
                    case.check(slate, items, *number);
                    assert!(!case.is_contradictory(), "case {number}");
                    assert_eq!(bits(slate), bits(pooled.as_ref().unwrap()), "case {number}");
                    assert_eq!(bits(slate), bits(&one(&generator, request)), "case {number}");
                    answered += 1;
                }
                Err(error) => {
                    assert_eq!(error.to_string(), pooled.as_ref().unwrap_err().to_string());
                    match error {
                        RequestError::Pin { .. }
                        | RequestError::PinsAndCap { .. }
                        | RequestError::Shares { .. } => {
                            assert!(case.is_contradictory(), "case {number}: {error}");
                            refused += 1;
                        }
                        RequestError::Share { least, has } => assert!(has < least),
                        RequestError::DeadEnd { .. } => {
                            assert!(!case.shares.is_empty(), "case {number}");
                            ended += 1;
                        }
                        other => panic!("case {number}: {other}"),
                    }
                }
            }
        }
    }
    assert!(answered > 2000 && refused > 100 && ended > 0, "{answered} {refused} {ended}");
}

fn plain(past: &[ItemId], length: usize, method: Method) -> RequestBuilder {
    Request::from_items(past).length(length).method(method)
}

/// Genres that a list has at least `most` items of.
fn full(list: &[u32], most: usize) -> Vec<usize> {
    (0..3).filter(|&genre| list.iter().filter(|&&item| has_genre(item, genre)).count() >= most).collect()
}

#[test]
fn one_pass_takes_the_best_that_may_stand_in_each_place() {
    let (items, generator) = (24, generator(24));
    let genres = generator.attribute("genres").unwrap();
    let of = |genre: usize| {
        generator.items_where(&format!("genres has {}", crate::support::GENRES[genre])).unwrap()
    };
    let (mut answered, mut freed) = (0, 0);
    for case in 0..60 {
        let past = history(case, 5, items);
        let all = one(&generator, &plain(&past, items, Method::TopK).build().unwrap());
        for (most, shares) in [
            (1, vec![]),
            (2, vec![]),
            (3, vec![(2, 0)]),
            (9, vec![(3, 0)]),
            (9, vec![(6, 0)]),
            (9, vec![(3, 0), (3, 1)]),
            (9, vec![(2, 0), (2, 1), (2, 2)]),
            (5, vec![(3, 0), (2, 1)]),
        ] {
            let mut builder = plain(&past, 6, Method::TopK).at_most(most, &genres);
            for &(least, genre) in &shares {
                builder = builder.at_least(least, &of(genre));
            }
            let (mut expected, mut was_binding): (Vec<u32>, bool) = (Vec::new(), false);
            while expected.len() < 6 {
                let full = full(&expected, most);
                let lacking: Vec<(usize, usize)> = shares
                    .iter()
                    .map(|&(least, genre)| {
                        let has = expected.iter().filter(|&&item| has_genre(item, genre)).count();
                        (least - has.min(least), genre)
                    })
                    .filter(|&(lacks, _)| lacks > 0)
                    .collect();
                let needed: usize = lacking.iter().map(|(lacks, _)| lacks).sum();
                let is_binding = needed > 0 && needed >= 6 - expected.len();
                freed += u32::from(was_binding && !is_binding);
                was_binding = is_binding;
                let may = |item: &u32| {
                    !expected.contains(item)
                        && full.iter().all(|&genre| !has_genre(*item, genre))
                        && (!is_binding || lacking.iter().any(|&(_, genre)| has_genre(*item, genre)))
                };
                let Some(next) = all.items.iter().map(|place| place.item.0).find(may) else { break };
                expected.push(next);
            }
            match generator.generate(&[builder.build().unwrap()]).remove(0) {
                Ok(slate) => {
                    assert_eq!(ids(&slate), expected, "case {case}, {most}, {shares:?}");
                    // Scores are those of the one pass, whatever the rules closed.
                    for place in &slate.items {
                        let same = all.items.iter().find(|other| other.item == place.item).unwrap();
                        assert_eq!(place.score.to_bits(), same.score.to_bits());
                    }
                    answered += 1;
                }
                Err(error) => {
                    assert!(matches!(error, RequestError::DeadEnd { .. }) && !shares.is_empty(), "{error}");
                }
            }
        }
    }
    assert!(answered > 300 && freed > 10, "{answered} {freed}");
}

#[test]
fn a_beam_as_wide_as_the_space_finds_the_best_list_that_keeps_a_cap() {
    let (items, generator) = (8, generator(8));
    let genres = generator.attribute("genres").unwrap();
    for case in 0..6 {
        let past = history(case, 2, items);
        let mut lists: Vec<(f64, Vec<u32>)> = vec![(0.0, Vec::new())];
        for _ in 0..3 {
            let mut longer = Vec::new();
            for (sum, list) in &lists {
                let full = full(list, 1);
                let closed: Vec<String> = (0..items as u32)
                    .filter(|&item| full.iter().any(|&genre| has_genre(item, genre)))
                    .map(key)
                    .collect();
                let closed: Vec<&str> = closed.iter().map(String::as_str).collect();
                let context: Vec<ItemId> =
                    past.iter().copied().chain(list.iter().map(|&item| ItemId(item))).collect();
                let next = plain(&context, items, Method::TopK).deny(&closed).build().unwrap();
                for place in one(&generator, &next).items {
                    longer.push((sum + place.score, [list.as_slice(), &[place.item.0]].concat()));
                }
            }
            if longer.is_empty() {
                break;
            }
            lists = longer;
        }
        lists.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let wide = plain(&past, 3, Method::Beam { width: 500 }).at_most(1, &genres).build().unwrap();
        let slate = one(&generator, &wide);
        assert_eq!((ids(&slate), slate.score.to_bits()), (lists[0].1.clone(), lists[0].0.to_bits()));
    }
}

#[test]
fn a_pinned_item_is_read_by_what_follows_it() {
    let past = history(3, 6, 60);
    // Untrained ones, which no history is read with, are passed over here, too.
    for (generator, step) in [(generator(60), 1), (partly_trained(60), 7)] {
        let pinned = (0..60).step_by(step).find(|item| !past.contains(&ItemId(*item))).unwrap();
        let request = plain(&past, 4, Method::Beam { width: 1 }).pin(0, &key(pinned)).build().unwrap();
        let slate = one(&generator, &request);
        let context = [past.as_slice(), &[ItemId(pinned)]].concat();
        let after = one(&generator, &plain(&context, 3, Method::Beam { width: 1 }).build().unwrap());
        assert_eq!(ids(&slate), [vec![pinned], ids(&after)].concat());
        assert_eq!(slate.score.to_bits(), after.score.to_bits());
        assert_eq!(after.skipped > slate.skipped, step == 7);
    }
    let generator = generator(60);
    // Seen items may be pinned, and so may all places.
    let everything = plain(&past, 2, Method::TopK).pin(1, &key(past[0].0)).pin(0, &key(past[1].0));
    assert_eq!(ids(&one(&generator, &everything.build().unwrap())), [past[1].0, past[0].0]);
}

#[test]
fn likeness_spreads_a_list() {
    let generator = generator(60);
    let spread = |slate: &Slate| {
        let vector = |item: ItemId| {
            let mut row = vec![0.0; generator.vectors().rank()];
            generator.vectors().output_row(item, &mut row).unwrap();
            row
        };
        let rows: Vec<Vec<f32>> = slate.items.iter().map(|place| vector(place.item)).collect();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let mut sum = 0.0;
        for (at, a) in rows.iter().enumerate() {
            for b in &rows[at + 1..] {
                sum += 1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            }
        }
        sum
    };
    let (mut without, mut with) = (0.0, 0.0);
    for case in 0..20 {
        let past = history(case, 6, 60);
        let ask = |weight| plain(&past, 5, Method::TopK).diversify(weight).build().unwrap();
        let (plain, diverse) = (one(&generator, &ask(0.0)), one(&generator, &ask(0.9)));
        assert_eq!(plain.items[0], diverse.items[0]);
        without += spread(&plain);
        with += spread(&diverse);
    }
    assert!(with > 1.1 * without, "{with} {without}");
}

#[test]
fn likeness_sees_pinned_items() {
    let generator = generator(60);
    let mut differ = 0;
    for case in 0..40 {
        let past = history(case, 6, 60);
        let pinned = (0..60).find(|item| !past.contains(&ItemId(*item))).unwrap();
        let ask = |weight| {
            let builder = plain(&past, 3, Method::TopK).pin(1, &key(pinned)).diversify(weight);
            one(&generator, &builder.build().unwrap())
        };
        // The third place by hand: after the first and the pinned one.
        let slate = ask(0.9);
        let unit = |item: u32| {
            let mut row = vec![0.0; generator.vectors().rank()];
            generator.vectors().output_unit(ItemId(item), &mut row).unwrap();
            row
        };
        let all = one(&generator, &plain(&past, 60, Method::TopK).deny(&[&key(pinned)]).build().unwrap());
        let chosen: Vec<Vec<f32>> = ids(&slate)[..2].iter().map(|&item| unit(item)).collect();
        let worth = |place: &upnext_generate::ScoredItem| {
            let cosine =
                |other: &Vec<f32>| unit(place.item.0).iter().zip(other).map(|(a, b)| a * b).sum::<f32>();
            let most = chosen.iter().map(cosine).fold(f32::NEG_INFINITY, f32::max);
            (1.0 - f64::from(0.9f32)) * place.score - f64::from(0.9f32) * f64::from(most)
        };
        let open = all.items.iter().take(50).filter(|place| place.item != slate.items[0].item);
        let best = open.max_by(|a, b| worth(a).total_cmp(&worth(b))).unwrap();
        assert_eq!(slate.items[2].item, best.item, "case {case}");
        differ += u32::from(ask(0.0).items[2].item != best.item);
    }
    assert!(differ > 5, "{differ}");
}

#[test]
fn what_contradicts_itself_or_comes_from_elsewhere_is_refused() {
    // As many items make no two generators one.
    let (generator, other, twin) = (generator(24), generator(25), generator(24));
    let answer = |builder: RequestBuilder| {
        generator.generate(&[builder.build().unwrap()]).remove(0).unwrap_err().to_string()
    };
    let ask = || plain(&[ItemId(1)], 3, Method::TopK);
    let (a, b) = (key(4), key(5));
    for (builder, expected) in [
        (ask().pin(0, "nobody"), "the model knows no such item"),
        (ask().pin(3, &a), "the list ends before it"),
        (ask().pin(1, &a).pin(1, &b), "another item is pinned there"),
        (ask().pin(0, &a).pin(1, &a), "the item is pinned to two places"),
        (ask().pin(0, &a).deny(&[&a]), "the same request forbids the item"),
        (ask().pin(0, &a).allow(&[&b]), "the same request forbids the item"),
        (ask().at_most(1, &other.attribute("genres").unwrap()), "another generator"),
        (ask().only(&twin.items_where("year > 0").unwrap()), "another generator"),
        (ask().without(&twin.items_of(["x"]).0), "another generator"),
        (ask().at_least(1, &other.items_where("year > 0").unwrap()), "another generator"),
        (ask().at_least(4, &generator.items_where("year > 0").unwrap()), "still ask for 4"),
        (ask().at_least(usize::MAX, &generator.items_where("year > 0").unwrap()), "still ask for"),
        (
            ask().pin(0, &a).pin(1, &b).at_least(2, &generator.items_where("year < 1952").unwrap()),
            "still ask for 2",
        ),
        (ask().at_least(2, &generator.items_where("year = 1953").unwrap()), "of which only 1 may be shown"),
    ] {
        let error = answer(builder);
        assert!(error.contains(expected), "{error}");
    }
    for weight in [-0.1, 1.0, f32::NAN] {
        assert!(matches!(ask().diversify(weight).build(), Err(RequestError::Diversify(_))));
    }
    assert!(matches!(ask().alternatives(1).build(), Err(RequestError::Alternatives)));
    let huge = ask().at_most(usize::MAX, &generator.attribute("genres").unwrap()).pin(0, &a).build().unwrap();
    assert!(generator.generate(&[huge])[0].is_ok());
    let growing = plain(&[ItemId(1)], 3, Method::Beam { width: 2 }).diversify(0.5);
    assert!(matches!(growing.build(), Err(RequestError::Diversify(_))));
    assert!(generator.attribute("colour").is_none());
    assert!(generator.items_where("colour = red").is_err());
    let (set, unknown) = generator.items_of([key(3).as_str(), "nobody", &key(3)]);
    assert_eq!((set.len(), unknown, set.contains(ItemId(3))), (1, 1, true));
}
