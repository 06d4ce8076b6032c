//! The frozen decoder over slices: what serving and validation run. No candle operation happens here.
//!
//! The sub-layers are the `forward` functions of [`crate::ops`], which training's fused operations call, too. Their
//! products have one fixed order per output row, so a row's bits depend on its own history alone.
//!
//! Letters: b histories · w hypotheses · n positions · k horizons read · d width · r rank.

mod pass;
mod rooms;

use std::sync::Arc;

use rayon::prelude::*;
use upnext_data::ItemId;
use upnext_kernels::product::Packed;
use upnext_kernels::products::Products;
use upnext_kernels::rotary::Rotary;

use crate::cache::Cache;
use crate::config::{ModelConfig, Positions};
use crate::error::{Error, Result};
use crate::init::HORIZONS;
use crate::ops::attention::{self, Memory};
use crate::ops::{Layout, mlp};
use crate::vectors::Vectors;
use pass::{Layer, Scratch};
use rooms::Rooms;

/// Hypotheses that one thread extends at a time.
const HYPOTHESES: usize = 8;

/// A decoder whose weights no longer change. Its results for a history do not depend on its neighbours in a
/// batch, on threads, or on which of its positions came from a cache: they are equal bit for bit.
pub struct Network {
    config: ModelConfig,
    project_in: Option<Packed>,
    positions: Option<Vec<f32>>,
    layers: Vec<Layer>,
    /// `(K - 1, d)` the vectors of the horizons after the first.
    horizons: Vec<f32>,
    head: Option<Packed>,
    rooms: Rooms,
}

impl Network {
    /// A decoder of this configuration, its parameters taken from `values` by name.
    ///
    /// # Errors
    /// When the configuration is not valid, or `values` fails.
    pub(crate) fn new(
        config: &ModelConfig,
        mut values: impl FnMut(&str) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        config.validate()?;
        let (d, r, m) = (config.width, config.rank, config.hidden);
        let rotary = (config.positions == Positions::Rotary)
            .then(|| Arc::new(Rotary::new(config.head_width(), config.window)));
        let mut layers = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let mut part = |part: &str| values(&format!("decoder.{layer}.{part}"));
            let (qkv, out) = (part("attention.qkv")?, part("attention.out")?);
            let (gate_up, down) = (part("mlp.gate_up")?, part("mlp.down")?);
            layers.push(Layer {
                attention: attention::Weights::new(
                    &qkv,
                    &out,
                    d,
                    config.heads,
                    rotary.clone(),
                    Products::F32,
                ),
                mlp: mlp::Weights::new(&gate_up, &down, d, m, Products::F32),
            });
        }
        let learned = config.positions == Positions::Learned;
        let positions = if learned { Some(values("positions")?) } else { None };
        let horizons = if config.own_horizons() > 1 { values(HORIZONS)? } else { Vec::new() };
        let (mut project_in, mut head) = (None, None);
        if config.project {
            project_in = Some(Packed::transposed(&values("items.project_in")?, d, r));
            head = Some(Packed::transposed(&values("head.project")?, r, d));
        }
        let rooms = Rooms::new();
        Ok(Self { config: config.clone(), project_in, positions, layers, horizons, head, rooms })
    }

    /// The model's sizes and switches.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Reads whole histories, already cut to the window, and gives the `(b, r)` states of their last positions.
    ///
    /// `caches`, one a history, are filled: what they held is forgotten. `parallel` spreads histories over rayon's
    /// threads; it moves no bit.
    ///
    /// # Errors
    /// When a history is empty, longer than the window, or holds an unknown item, or when `caches` are not as many
    /// as histories or not of this model's shape. Then no cache changes.
    pub fn prefill(
        &self,
        histories: &[&[ItemId]],
        vectors: &Vectors<'_>,
        caches: Option<&mut [Cache]>,
        parallel: bool,
    ) -> Result<Vec<f32>> {
        self.prefill_ahead(histories, vectors, caches, parallel, 1)
    }

    /// The same for the first `horizons` of the model: `(b, k, r)` states, of which those of the first horizon have the
    /// bits of [`Network::prefill`].
    ///
    /// # Errors
    /// As [`Network::prefill`], and when the model has not so many horizons.
    pub fn prefill_ahead(
        &self,
        histories: &[&[ItemId]],
        vectors: &Vectors<'_>,
        mut caches: Option<&mut [Cache]>,
        parallel: bool,
        horizons: usize,
    ) -> Result<Vec<f32>> {
        self.check_vectors(vectors)?;
        self.check_horizons(horizons)?;
        let mut offsets = vec![0; histories.len() + 1];
        for (j, items) in histories.iter().enumerate() {
            self.check_history(j, items, vectors)?;
            offsets[j + 1] = offsets[j] + items.len();
        }
        if let Some(caches) = &caches {
            self.check_caches(histories.len(), caches.iter())?;
        }
        if histories.is_empty() {
            return Ok(Vec::new());
        }
        let layout = Layout::new(&offsets)?;
        let width = horizons * self.config.rank;
        let mut out = vec![0.0; histories.len() * width];
        let (mut rest, mut tasks) = (&mut out[..], Vec::new());
        for lane in layout.lanes() {
            for group in layout.groups(lane) {
                let (states, below) = rest.split_at_mut(group.len() * width);
                let own = caches.take().map(|all| {
                    let (own, below) = all.split_at_mut(group.len());
                    caches = Some(below);
                    own
                });
                tasks.push((&histories[group], own, states));
                rest = below;
            }
        }
        self.spread(tasks, parallel, |scratch, (histories, own, states)| {
            self.read(histories, vectors, own.unwrap_or_default(), states, scratch)
        })?;
        Ok(out)
    }

    /// The `(n, r)` states of all positions of one history.
    ///
    /// # Errors
    /// As [`Network::prefill`].
    pub fn states(&self, history: &[ItemId], vectors: &Vectors<'_>) -> Result<Vec<f32>> {
        self.check_vectors(vectors)?;
        self.check_history(0, history, vectors)?;
        let mut scratch = self.rooms.enter();
        let mut x = self.embed(&[history], vectors, &mut scratch)?;
        let mut out = vec![0.0; history.len() * self.config.rank];
        for layer in &self.layers {
            let mut once = layer.attention.key_values();
            layer.run(&mut x, &[history.len()], Memory::Once(&mut once), &mut scratch);
        }
        self.project(&x, &mut out, &mut scratch);
        Ok(out)
    }

    /// One decode step: token `j` continues `prompts[j]` followed by `own[j]`, and is appended to `own[j]`.
    /// Gives the `(w, r)` states.
    ///
    /// # Errors
    /// When counts differ, a hypothesis would outgrow the window, or a token is unknown. Then no cache changes.
    pub fn extend(
        &self,
        tokens: &[ItemId],
        prompts: &[&Cache],
        own: &mut [Cache],
        vectors: &Vectors<'_>,
        parallel: bool,
    ) -> Result<Vec<f32>> {
        self.extend_ahead(tokens, prompts, own, vectors, parallel, 1)
    }

    /// The same for the first `horizons` of the model: `(w, k, r)` states.
    ///
    /// # Errors
    /// As [`Network::extend`], and when the model has not so many horizons.
    pub fn extend_ahead(
        &self,
        tokens: &[ItemId],
        prompts: &[&Cache],
        own: &mut [Cache],
        vectors: &Vectors<'_>,
        parallel: bool,
        horizons: usize,
    ) -> Result<Vec<f32>> {
        self.check_vectors(vectors)?;
        self.check_horizons(horizons)?;
        self.check_caches(tokens.len(), prompts.iter().copied())?;
        self.check_caches(tokens.len(), own.iter())?;
        for (j, &token) in tokens.iter().enumerate() {
            vectors.check(token)?;
            self.check_length(j, prompts[j].len() + own[j].len() + 1)?;
        }
        let width = horizons * self.config.rank;
        let mut out = vec![0.0; tokens.len() * width];
        let tasks = tokens
            .chunks(HYPOTHESES)
            .zip(prompts.chunks(HYPOTHESES))
            .zip(own.chunks_mut(HYPOTHESES))
            .zip(out.chunks_mut(HYPOTHESES * width))
            .collect();
        self.spread(tasks, parallel, |scratch, (((tokens, prompts), own), states)| {
            self.step(tokens, prompts, own, vectors, states, scratch)
        })?;
        Ok(out)
    }

    fn check_vectors(&self, vectors: &Vectors<'_>) -> Result<()> {
        if vectors.rank() == self.config.rank {
            return Ok(());
        }
        Err(Error::Size { what: "an item vector", found: vectors.rank(), expected: self.config.rank })
    }

    fn check_horizons(&self, horizons: usize) -> Result<()> {
        let own = self.config.own_horizons();
        if (1..=own).contains(&horizons) {
            return Ok(());
        }
        Err(Error::Size { what: "the number of horizons read", found: horizons, expected: own })
    }

    fn check_history(&self, j: usize, items: &[ItemId], vectors: &Vectors<'_>) -> Result<()> {
        if items.is_empty() {
            return Err(Error::EmptyHistory { history: j });
        }
        self.check_length(j, items.len())?;
        items.iter().try_for_each(|&item| vectors.check(item))
    }

    fn check_length(&self, j: usize, len: usize) -> Result<()> {
        if len <= self.config.window {
            return Ok(());
        }
        Err(Error::PastWindow { history: j, len, window: self.config.window })
    }

    fn check_caches<'c>(
        &self,
        expected: usize,
        caches: impl ExactSizeIterator<Item = &'c Cache>,
    ) -> Result<()> {
        if caches.len() != expected {
            return Err(Error::Size { what: "the list of caches", found: caches.len(), expected });
        }
        for cache in caches {
            cache.check(&self.config)?;
        }
        Ok(())
    }

    /// Runs independent tasks, each with its thread's scratch.
    fn spread<T: Send>(
        &self,
        tasks: Vec<T>,
        parallel: bool,
        run: impl Fn(&mut Scratch, T) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        if parallel && tasks.len() > 1 {
            return tasks
                .into_par_iter()
                .try_for_each_init(|| self.rooms.enter(), |scratch, task| run(scratch, task));
        }
        let mut scratch = self.rooms.enter();
        tasks.into_iter().try_for_each(|task| run(&mut scratch, task))
    }
}
