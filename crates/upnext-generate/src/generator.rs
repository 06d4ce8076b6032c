//! A model that answers requests: resolves, batches, bounds memory, puts keys back.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::ThreadPool;
use rayon::prelude::*;
use upnext_data::{Catalog, ItemId};
use upnext_model::folder::Index;
use upnext_model::{Adjusting, Cache, Generation, ModelConfig, ModelManifest, Served, Vectors};

use crate::fallback::Popularity;
use crate::plan::Plan;
use crate::score::{Answer, Engine, Lists, Place, network};
use crate::scoring::Scorer;
use crate::search::Prompts;
use crate::similar::similar;
use crate::{
    Alternative, Attribute, ConditionError, Error, Exactness, ItemMap, ItemSet, Options, Request,
    RequestError, ScoredItem, Scoring, Slate, Threads, one_pass, search,
};

/// A frozen model, ready to answer. Open it once and share it between threads.
pub struct Generator {
    served: Served,
    popularity: Popularity,
    adjusting: Adjusting,
    scorer: Scorer,
    pool: Option<ThreadPool>,
    options: Options,
    /// No two generators of a process have the same: what they make for requests is told apart by it.
    id: u64,
}

impl std::fmt::Debug for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let items = self.served.catalog.len();
        f.debug_struct("Generator")
            .field("items", &items)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Generator {
    /// Opens a model folder.
    ///
    /// # Errors
    /// When the folder is incomplete or damaged, or a thread pool cannot be started.
    pub fn open(folder: impl AsRef<Path>, options: Options) -> crate::Result<Self> {
        let folder = folder.as_ref();
        let served = upnext_model::folder::open(folder)?;
        let index = match options.scoring.needs_index() {
            true => upnext_model::folder::open_index(folder, &served.manifest)?,
            false => None,
        };
        Self::with_index(served, index, options)
    }

    /// A generator from parts in memory.
    ///
    /// # Errors
    /// When catalog, vectors and counts are of different lengths, a thread pool cannot be started, or the scoring needs an
    /// index.
    pub fn from_parts(served: Served, options: Options) -> crate::Result<Self> {
        Self::with_index(served, None, options)
    }

    /// The same with an index, which is used if the scoring needs one.
    ///
    /// # Errors
    /// As [`Generator::from_parts`], and when the index is of other items.
    pub fn with_index(served: Served, index: Option<Index>, options: Options) -> crate::Result<Self> {
        let items = served.catalog.len();
        for (part, found) in [("item vectors", served.vectors.items()), ("counts", served.counts.len())] {
            if found != items {
                return Err(Error::Parts { part, found, items });
            }
        }
        let pool = match options.threads {
            Threads::Caller => None,
            Threads::Pool(threads) => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|index| format!("upnext-generate-{index}"))
                    .build()
                    .map_err(|source| Error::Pool { threads, source })?,
            ),
        };
        let popularity = Popularity::new(&served.counts);
        let adjusting = Adjusting::new(&served.config, &served.counts);
        let make = || Scorer::new(options.scoring, &served.vectors, index, pool.is_some());
        let scorer = on_threads(pool.as_ref(), make)?;
        static GENERATORS: AtomicU64 = AtomicU64::new(1);
        let id = GENERATORS.fetch_add(1, Ordering::Relaxed);
        Ok(Self { served, popularity, adjusting, scorer, pool, options, id })
    }

    /// What a request that says nothing gets.
    #[must_use]
    pub fn defaults(&self) -> &Generation {
        &self.served.generation
    }

    /// The catalog of the model.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.served.catalog
    }

    /// The configuration of the model.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.served.config
    }

    /// Where the model comes from and how good it is; its seal tells models apart.
    #[must_use]
    pub fn manifest(&self) -> &ModelManifest {
        &self.served.manifest
    }

    /// The same model with its items scored in another way.
    ///
    /// # Errors
    /// When the scoring needs an index and none is given, or it is of other items.
    pub fn scored_by(mut self, scoring: Scoring, index: Option<Index>) -> crate::Result<Self> {
        let scorer = std::mem::replace(&mut self.scorer, Scorer::Exact);
        let parallel = self.pool.is_some();
        let turn = || scorer.turned_into(scoring, &self.served.vectors, index, parallel);
        self.scorer = self.on_threads(turn)?;
        self.options.scoring = scoring;
        Ok(self)
    }

    /// Memory that the way to score takes beside the model.
    #[must_use]
    pub fn scoring_bytes(&self) -> usize {
        self.scorer.bytes()
    }

    /// Maps the ids of another catalog onto the model's, for requests by id.
    #[must_use]
    pub fn item_map(&self, from: &Catalog) -> ItemMap {
        ItemMap::new(from, &self.served.catalog)
    }

    /// The items that fulfil a condition on the catalogue's columns, to be the only ones of requests or a share of lists:
    /// `available = true and (maturity <= 12 or genres has Family)`.
    ///
    /// Tests are `=`, `!=`, `<`, `<=`, `>`, `>=`, `has` (one of several values, separated by `|`, `;` or `,`) and
    /// `in (…, …)`, joined by `and`, `or`, `not` and brackets; what is not a bare word stands in quotes. Two numbers compare
    /// as numbers; an item whose text is none fulfils no order.
    ///
    /// # Errors
    /// When the text is no condition, or speaks of a column that the catalogue lacks.
    pub fn items_where(&self, condition: &str) -> Result<ItemSet, ConditionError> {
        ItemSet::of_condition(&self.served.catalog, condition, self.id)
    }

    /// The items of some keys, and how many of the keys the catalogue lacks.
    #[must_use]
    pub fn items_of<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> (ItemSet, usize) {
        ItemSet::of_keys(&self.served.catalog, keys, self.id)
    }

    /// A column of the catalogue as attributes, for caps; none if there is no such column.
    #[must_use]
    pub fn attribute(&self, column: &str) -> Option<Attribute> {
        Attribute::read(&self.served.catalog, column, self.id)
    }

    /// Answers requests, one result a request and in order; each has the bits it would have alone.
    ///
    /// Any number of requests may be given: they are worked on in chunks of bounded memory.
    ///
    /// # Errors
    /// Each request fails alone: see [`RequestError`].
    pub fn generate(&self, requests: &[Request]) -> Vec<Result<Slate, RequestError>> {
        self.on_threads(|| self.in_chunks(requests))
    }

    /// The item vectors of the model: rows for retrieval elsewhere.
    #[must_use]
    pub fn vectors(&self) -> &Vectors<'static> {
        &self.served.vectors
    }

    /// Items that no list shows unless it pins them, ascending: the model has nothing to recommend them by.
    #[must_use]
    pub fn ineligible(&self) -> &[u32] {
        &self.served.ineligible
    }

    /// The `k` items most similar to an item, by the cosine of the vectors that lists are scored with, best first, ties by
    /// id. Items that no list may show are left out.
    ///
    /// # Errors
    /// [`RequestError::Unknown`] when the catalog has no such key.
    pub fn similar(&self, key: &str, k: usize) -> Result<Vec<ScoredItem>, RequestError> {
        let item = self.catalog().find(key).ok_or_else(|| RequestError::Unknown(key.to_owned()))?;
        let find = || similar(&self.served.vectors, item, k, &self.served.ineligible, self.pool.is_some());
        let found = self.on_threads(find);
        let scored = |(item, cosine): (ItemId, f32)| ScoredItem {
            item,
            key: self.catalog().key(item).to_owned(),
            score: f64::from(cosine),
            pinned: false,
        };
        Ok(found.map_err(network)?.into_iter().map(scored).collect())
    }

    /// The states `(r)` after the histories of requests: user vectors, whose product with an item's output vector is the
    /// item's score. One result a request and in order; only the history and the method's reserve matter.
    ///
    /// # Errors
    /// Each request fails alone; [`RequestError::NothingKnown`] when no event of its history is known,
    /// [`RequestError::NotFinite`] when the state is none.
    pub fn states(&self, requests: &[Request]) -> Vec<Result<Vec<f32>, RequestError>> {
        let answer = || {
            requests.chunks(self.options.chunk.max(1)).flat_map(|chunk| self.chunk_states(chunk)).collect()
        };
        self.on_threads(answer)
    }

    /// Does work on the generator's threads, or on the caller's.
    pub(crate) fn on_threads<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        on_threads(self.pool.as_ref(), work)
    }

    pub(crate) fn popularity(&self) -> &Popularity {
        &self.popularity
    }

    fn chunk_states(&self, requests: &[Request]) -> Vec<Result<Vec<f32>, RequestError>> {
        let plan = |request| {
            let plan = self.plan(request)?;
            if plan.prompt.is_empty() { Err(RequestError::NothingKnown) } else { Ok(plan) }
        };
        let plans: Vec<Result<Plan, RequestError>> = requests.iter().map(plan).collect();
        let prompts: Vec<&[ItemId]> = plans.iter().flatten().map(|plan| plan.prompt.as_slice()).collect();
        let states = match self.engine().prefill(&prompts, None) {
            Ok(states) => states,
            Err(error) => return plans.into_iter().map(|plan| plan.and(Err(error.clone()))).collect(),
        };
        let mut rows = states.chunks_exact(self.served.vectors.rank());
        let mut next = |_: Plan| match rows.next().unwrap_or_default() {
            row if row.iter().all(|value| value.is_finite()) => Ok(row.to_vec()),
            _ => Err(RequestError::NotFinite),
        };
        plans.into_iter().map(|plan| plan.and_then(&mut next)).collect()
    }

    /// A request against the model.
    pub(crate) fn plan(&self, request: &Request) -> Result<Plan, RequestError> {
        self.refuse_foreign(request)?;
        Plan::new(request, &self.served)
    }

    /// Refuses sets and attributes that another generator has made: their ids are of another catalogue.
    pub(crate) fn refuse_foreign(&self, request: &Request) -> Result<(), RequestError> {
        let shares = request.rules.shares.iter().map(|(_, set)| set);
        let sets = request.only.iter().chain(&request.never).chain(shares).map(ItemSet::maker);
        let attributes = request.rules.caps.iter().map(|(_, attribute)| attribute.maker());
        match sets.chain(attributes).all(|maker| maker == self.id) {
            true => Ok(()),
            false => Err(RequestError::Foreign),
        }
    }

    /// What sessions work with: the caller's thread alone.
    pub(crate) fn engine_of_caller(&self) -> Engine<'_> {
        Engine { parallel: false, ..self.engine() }
    }

    pub(crate) fn served(&self) -> &Served {
        &self.served
    }

    /// The slate of one plan whose prompt has been read before: `(k, r)` are the states after it, of all horizons.
    pub(crate) fn answer_after(
        &self,
        plan: &Plan,
        states_kr: &[f32],
        cache: &Cache,
    ) -> Result<Slate, RequestError> {
        let (engine, horizons) = (self.engine_of_caller(), self.config().own_horizons());
        let lists = match plan.asks_network() {
            false => self.without_network(plan)?,
            true if plan.grows() => {
                let states_br = &states_kr[..engine.vectors.rank()];
                let prompts = Prompts { states_br, caches: std::slice::from_ref(cache) };
                only(search::answer_after(&[plan], prompts, engine))?
            }
            true => only(one_pass::answer_after(&[plan], states_kr, horizons, engine))?,
        };
        Ok(self.slate(plan, &lists))
    }

    pub(crate) fn engine(&self) -> Engine<'_> {
        let Served { network, vectors, .. } = &self.served;
        let (adjusting, scorer) = (&self.adjusting, &self.scorer);
        let unread = &self.served.unread;
        Engine { network, vectors, adjusting, scorer, unread, parallel: self.pool.is_some() }
    }

    fn in_chunks(&self, requests: &[Request]) -> Vec<Result<Slate, RequestError>> {
        requests.chunks(self.options.chunk.max(1)).flat_map(|chunk| self.chunk(chunk)).collect()
    }

    fn chunk(&self, requests: &[Request]) -> Vec<Result<Slate, RequestError>> {
        let plan = |request| self.plan(request);
        let plans: Vec<Result<Plan, RequestError>> = if self.pool.is_some() {
            requests.par_iter().map(plan).collect()
        } else {
            requests.iter().map(plan).collect()
        };
        let engine = self.engine();
        let at_once = |plan: &Result<Plan, RequestError>| match plan {
            Ok(plan) => self.without_network(plan),
            Err(error) => Err(error.clone()),
        };
        let mut answers: Vec<Answer> = match self.pool.is_some() {
            true => plans.par_iter().map(at_once).collect(),
            false => plans.iter().map(at_once).collect(),
        };
        let work = |grows: bool| -> Vec<(usize, &Plan)> {
            let good =
                plans.iter().enumerate().filter_map(|(index, plan)| Some((index, plan.as_ref().ok()?)));
            good.filter(|(_, plan)| plan.asks_network() && plan.grows() == grows).collect()
        };
        let mut put = |group: &[(usize, &Plan)], answer: fn(&[&Plan], Engine<'_>) -> Vec<Answer>| {
            // Who has become late in the meantime is not read any more.
            let (mut indices, mut plans) = (Vec::new(), Vec::new());
            for &(index, plan) in group {
                match plan.stop.check() {
                    Ok(()) => {
                        indices.push(index);
                        plans.push(plan);
                    }
                    Err(error) => answers[index] = Err(error),
                }
            }
            for (index, answer) in indices.into_iter().zip(answer(&plans, engine)) {
                answers[index] = answer;
            }
        };
        let (single, growing) = (work(false), work(true));
        for round in rounds(&single, &self.served.config, self.options.bytes) {
            put(round, one_pass::answer);
        }
        for round in rounds(&growing, &self.served.config, self.options.bytes) {
            put(round, search::answer);
        }
        let slate = |(plan, answer): (Result<Plan, _>, Answer)| Ok(self.slate(&plan?, &answer?));
        plans.into_iter().zip(answers).map(slate).collect()
    }

    /// What can be answered before the network runs; an empty list where it will.
    fn without_network(&self, plan: &Plan) -> Answer {
        match plan.prompt.is_empty() {
            true => self.popularity.answer(plan),
            false if plan.places == 0 => plan.end(Vec::new()).map(Into::into),
            false => Ok(Lists::default()),
        }
    }

    /// What a list's scores guarantee. Where scores are moved, no clusters are looked into.
    fn exactness(&self, plan: &Plan, places: &[Place]) -> Exactness {
        let is_moved = plan.noise.is_some() || !self.adjusting.offsets(plan.adjustment).is_empty();
        match plan.asks_network() && self.scorer.may_miss() && !is_moved {
            true => Exactness::Approximate,
            false => Exactness::within(places.iter().map(|place| place.slack).sum()),
        }
    }

    fn slate(&self, plan: &Plan, lists: &Lists) -> Slate {
        let scored = |place: &Place| ScoredItem {
            item: place.item,
            key: self.served.catalog.key(place.item).to_owned(),
            score: place.log_prob,
            pinned: plan.rules.is_pinned(place.item.0),
        };
        let sum = |places: &[Place]| places.iter().fold(0.0, |sum, place| sum + place.log_prob);
        let alternative = |places: &Vec<Place>| Alternative {
            items: places.iter().map(scored).collect(),
            score: sum(places),
        };
        Slate {
            items: lists.best.iter().map(scored).collect(),
            score: sum(&lists.best),
            alternatives: lists.others.iter().map(alternative).collect(),
            exactness: self.exactness(plan, &lists.best),
            requested: plan.requested,
            skipped: plan.skipped,
            unknown_allowed: plan.unknown_allowed,
            fallback: plan.prompt.is_empty(),
        }
    }
}

/// Does work on the threads of a pool, or on the caller's.
fn on_threads<T: Send>(pool: Option<&ThreadPool>, work: impl FnOnce() -> T + Send) -> T {
    match pool {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

/// The answer of one plan.
fn only(answers: Vec<Answer>) -> Answer {
    answers.into_iter().next().unwrap_or_else(|| Ok(Lists::default()))
}

/// Cuts plans into runs that fit `budget` bytes together; every run has at least one plan.
fn rounds<'a, 'p>(
    plans: &'a [(usize, &'p Plan)],
    config: &ModelConfig,
    budget: usize,
) -> Vec<&'a [(usize, &'p Plan)]> {
    let mut rounds = Vec::new();
    let (mut start, mut used) = (0, 0usize);
    for (end, (_, plan)) in plans.iter().enumerate() {
        let need = plan.bytes(config);
        if end > start && used.saturating_add(need) > budget {
            rounds.push(&plans[start..end]);
            (start, used) = (end, 0);
        }
        used = used.saturating_add(need);
    }
    if start < plans.len() {
        rounds.push(&plans[start..]);
    }
    rounds
}
