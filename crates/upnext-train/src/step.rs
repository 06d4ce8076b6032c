//! One step: batch to loss to update.
//!
//! The distinct rows of the step are gathered into a leaf, the model and the loss run over it, gradients flow back into
//! it, and only then, when all of them are finite, are the touched rows and the parameters updated in place.

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use rayon::prelude::*;
use upnext_kernels::products::Products;
use upnext_kernels::rows::{self, gather, sum_squares};
use upnext_model::ops::host::Host;
use upnext_model::{Drop, Model, Reads, Table, tower};

use crate::adam::{self, Adam, Moments};
use crate::config::{LossKind, Precision, RunConfig, TableOptimizer, TrainConfig};
use crate::full_softmax::{BLOCK_ITEMS, full_softmax};
use crate::link::link;
use crate::plan::{Lifts, Plan, Scored, Truths};
use crate::sampled_softmax::run as sampled_softmax;
use crate::{Error, Result};

/// Values whose squares are summed by one task.
const SUM_CHUNK: usize = 1 << 16;

/// A model in training.
pub struct Learner {
    /// The model.
    pub model: Model,
    /// Its moments.
    pub adam: Adam,
    config: RunConfig,
    products: Products,
    /// `(i, r)` gradients of the input and the output table, for dense updates; made when first needed.
    dense_input: Vec<f32>,
    dense_output: Vec<f32>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Mean loss over the step's targets, and what `loss.align` adds to it.
    pub loss: f64,
    /// Norm of the whole gradient before clipping.
    pub gradient_norm: f64,
    /// Whether loss and gradient were finite; otherwise nothing has changed.
    pub finite: bool,
}

/// [`Model::forward`], or [`Model::forward_reference`] in the test that holds them together over a training.
type Forward = fn(
    &Model,
    &Tensor,
    &[u32],
    &[usize],
    Option<Drop>,
    Products,
    Option<&Reads>,
) -> upnext_model::Result<Tensor>;

/// Rows gathered from a table.
struct Leaf {
    /// `(u, r)`
    rows: Var,
    /// `(u)` whose they are.
    ids: Vec<u32>,
}

/// A step's rows as they are read.
struct Lifted {
    /// `(u, r)` what the decoder reads.
    input: Tensor,
    /// `(u, r)` what is scored, where one leaf serves both sides.
    shared: Tensor,
    /// The alignment loss, where there is one.
    aligned: Option<Tensor>,
}

/// The gradient of one table.
enum TableGradient {
    /// Of the rows `ids`, `(u, r)`.
    Rows { ids: Vec<u32>, gradients: Vec<f32> },
    /// Of all rows, in the learner's own buffer.
    Dense,
}

impl Learner {
    /// A model with moments, to be trained under a configuration; with `precision = "bf16"` by products of bf16
    /// operands, where the CPU has tiles for them.
    ///
    /// # Errors
    /// When a dense update is asked for over too many items.
    pub fn new(model: Model, adam: Adam, config: &RunConfig) -> Result<Self> {
        if config.train.table_optimizer == TableOptimizer::Dense {
            adam::check_dense(model.items())?;
        }
        let products = match config.train.precision {
            Precision::F32 => Products::F32,
            Precision::Bf16 => Products::bf16_or_f32(),
        };
        let (dense_input, dense_output) = (Vec::new(), Vec::new());
        Ok(Self { model, adam, config: config.clone(), products, dense_input, dense_output })
    }

    /// What products with weights are computed in, whatever the configuration asks for.
    #[must_use]
    pub fn products(&self) -> Precision {
        match self.products {
            Products::F32 => Precision::F32,
            Products::Bf16(_) => Precision::Bf16,
        }
    }

    /// How it is trained.
    pub(crate) fn train(&self) -> &TrainConfig {
        &self.config.train
    }

    /// Computes a step and updates the model, unless a loss or a gradient is not finite.
    ///
    /// # Errors
    /// When the plan does not fit the model, or a parameter gets no gradient.
    pub fn step(&mut self, plan: &Plan, lr: f64) -> Result<Outcome> {
        self.step_by(Model::forward, plan, lr)
    }

    /// As [`Learner::step`], by one of the model's two forward passes.
    fn step_by(&mut self, forward: Forward, plan: &Plan, lr: f64) -> Result<Outcome> {
        let drop = Drop { seed: self.config.train.seed, step: plan.step, rate: self.model.config().dropout };
        let leaf = gathered(self.model.input_table(), &plan.ids)?;
        let Lifted { input, shared, aligned } = self.lifted(plan, &leaf)?;
        let (tokens, offsets, reads) = (&plan.token_rows, &plan.offsets, plan.reads.as_ref());
        let states_nr = forward(&self.model, &input, tokens, offsets, Some(drop), self.products, reads)?;
        let (mut loss, scored) = self.loss(plan, &shared, &states_nr)?;
        if let Some(aligned) = aligned {
            loss = (loss + (aligned * self.config.loss.align)?)?;
        }
        let gradients = loss.backward()?;
        let loss = f64::from(loss.to_scalar::<f32>()?);

        let mut input = rows_of(&gradients, &leaf, &plan.ids)?;
        let mut output = match &scored {
            Some(leaf) => Some(rows_of(&gradients, &leaf.rows, &leaf.ids)?),
            None => None,
        };
        self.make_dense(&mut input, &mut output);
        let parameters = self.parameter_gradients(&gradients)?;
        let squares = self.squares(&input, &self.dense_input)
            + output.as_ref().map_or(0.0, |output| self.squares(output, &self.dense_output))
            + parameters.iter().map(|(_, gradient)| squares(gradient)).sum::<f64>();
        let outcome =
            Outcome { loss, gradient_norm: squares.sqrt(), finite: loss.is_finite() && squares.is_finite() };
        if outcome.finite {
            self.update(&input, output.as_ref(), &parameters, outcome.gradient_norm, lr)?;
        }
        Ok(outcome)
    }

    /// The input leaf's rows as the decoder reads them, and as they are scored where one leaf serves both.
    fn lifted(&self, plan: &Plan, leaf: &Var) -> Result<Lifted> {
        let rows = leaf.as_tensor();
        let Some(lifts) = &plan.lifts else {
            return Ok(Lifted { input: rows.clone(), shared: rows.clone(), aligned: None });
        };
        // The towers speak once for both sides; each side hides rows of its own.
        let semantic = tower::semantic(&self.model, &lifts.input_content, self.products)?;
        let side = |kept: Option<&Tensor>| -> Result<Tensor> {
            let rows = tower::masked(&self.model, rows, kept)?;
            Ok(match &semantic {
                Some(semantic) => (rows + semantic)?,
                None => rows,
            })
        };
        let input = side(lifts.input_kept.as_ref())?;
        // With a table of its own the output side is lifted beside the loss.
        let shared = match lifts.output_content {
            Some(_) => input.clone(),
            None => side(lifts.output_kept.as_ref())?,
        };
        let aligned = match (&lifts.pairs, &semantic) {
            (Some(pairs), Some(semantic)) => Some(pairs.loss(semantic, rows)?),
            _ => None,
        };
        Ok(Lifted { input, shared, aligned })
    }

    /// The loss, and the output leaf that it scored, if there is one.
    fn loss(&mut self, plan: &Plan, shared: &Tensor, states_nr: &Tensor) -> Result<(Tensor, Option<Leaf>)> {
        match &plan.scored {
            Scored::Sampled { ids: None, candidates } => {
                Ok((sampled_softmax(states_nr, shared, candidates.clone())?, None))
            }
            Scored::Sampled { ids: Some(ids), candidates } => {
                let leaf = gathered(self.model.output_table(), ids)?;
                let mut rows = leaf.as_tensor().clone();
                if let Some(Lifts { output_content: Some(content), output_kept, .. }) = &plan.lifts {
                    rows = tower::lift(&self.model, &rows, output_kept.as_ref(), content, self.products)?;
                }
                let loss = sampled_softmax(states_nr, &rows, candidates.clone())?;
                Ok((loss, Some(Leaf { rows: leaf, ids: ids.clone() })))
            }
            Scored::All(Truths { targets, shares }) => {
                let tied = self.model.config().tied;
                let table = self.model.output_table();
                let gradient = if tied { &mut self.dense_input } else { &mut self.dense_output };
                gradient.clear();
                gradient.resize(table.rows().len(), 0.0);
                let states_nr = states_nr.contiguous()?;
                let host = Host::of("the states of a loss", &states_nr);
                let states = host.values()?;
                let (loss, dh) =
                    full_softmax(states, table.rows(), table.rank(), targets, shares, BLOCK_ITEMS, gradient);
                std::mem::drop(host);
                Ok((link(&states_nr, loss as f32, dh)?, None))
            }
            Scored::Trained { ids, truths: Truths { targets, shares } } => {
                let leaf = gathered(self.model.output_table(), ids)?;
                let mut rows = leaf.as_tensor().clone();
                if let Some(Lifts { output_content: Some(content), output_kept, .. }) = &plan.lifts {
                    rows = tower::lift(&self.model, &rows, output_kept.as_ref(), content, self.products)?;
                }
                let (states_nr, rows) = (states_nr.contiguous()?, rows.contiguous()?);
                let (states, values) =
                    (Host::of("the states of a loss", &states_nr), Host::of("scored rows", &rows));
                let (h, v, rank) = (states.values()?, values.values()?, rows.dim(1)?);
                let mut dv = vec![0.0; v.len()];
                let (loss, dh) = full_softmax(h, v, rank, targets, shares, BLOCK_ITEMS, &mut dv);
                // Two nodes of one loss: the second adds nothing but the rows' gradient.
                let loss = (link(&states_nr, loss as f32, dh)? + link(&rows, 0.0, dv)?)?;
                Ok((loss, Some(Leaf { rows: leaf, ids: ids.clone() })))
            }
        }
    }

    /// Moves row gradients into whole-table buffers where the table is updated densely.
    fn make_dense(&mut self, input: &mut TableGradient, output: &mut Option<TableGradient>) {
        let rank = self.model.input_table().rank();
        let len = self.model.input_table().rows().len();
        let (full, tied) = (self.config.loss.kind == LossKind::FullSoftmax, self.model.config().tied);
        let dense = self.config.train.table_optimizer == TableOptimizer::Dense;
        if full && tied {
            // The loss has filled the buffer, or left the gradient of rows of its own.
            if let Some(mut scored) = output.take() {
                self.dense_input.clear();
                self.dense_input.resize(len, 0.0);
                add_rows(&mut self.dense_input, rank, &mut scored);
            }
            add_rows(&mut self.dense_input, rank, input);
        } else if dense {
            self.dense_input.clear();
            self.dense_input.resize(len, 0.0);
            add_rows(&mut self.dense_input, rank, input);
        }
        if full && !tied && output.is_none() {
            *output = Some(TableGradient::Dense);
        } else if let (true, Some(output)) = (dense || full, output) {
            self.dense_output.clear();
            self.dense_output.resize(len, 0.0);
            add_rows(&mut self.dense_output, rank, output);
        }
    }

    /// Each parameter's gradient, in byte order of the names.
    fn parameter_gradients(&self, gradients: &GradStore) -> Result<Vec<(String, Vec<f32>)>> {
        let mut found = Vec::new();
        for (name, var) in self.model.parameters().iter() {
            let gradient = gradients.get(var.as_tensor()).ok_or_else(|| no_gradient(name))?.contiguous()?;
            found.push((name.to_owned(), Host::of("a gradient", &gradient).values()?.to_vec()));
        }
        Ok(found)
    }

    fn squares(&self, gradient: &TableGradient, dense: &[f32]) -> f64 {
        match gradient {
            TableGradient::Rows { gradients, .. } => squares(gradients),
            TableGradient::Dense => squares(dense),
        }
    }

    fn update(
        &mut self,
        input: &TableGradient,
        output: Option<&TableGradient>,
        parameters: &[(String, Vec<f32>)],
        norm: f64,
        lr: f64,
    ) -> Result<()> {
        let clip = self.config.train.clip;
        let scale = if norm > clip { (clip / norm) as f32 } else { 1.0 };
        let all = adam::numbers(&self.config.train, self.adam.updates, lr);
        let decayed = |by: f32| rows::Adam { weight_decay: all.weight_decay + by, ..all };
        let tower = self.model.config().tower.as_ref();
        let [of_rows, of_towers] =
            tower.map_or([0.0; 2], |tower| [tower.row_weight_decay, tower.weight_decay]).map(decayed);
        let one = |table: &mut Table, moments: &mut Moments, gradient: &TableGradient, dense: &[f32]| {
            match gradient {
                TableGradient::Rows { ids, gradients } => {
                    adam::lazy(table, moments, ids, gradients, scale, &of_rows)
                }
                TableGradient::Dense => {
                    adam::dense(table.rows_mut(), moments, dense, scale, &of_rows);
                    Ok(())
                }
            }
        };
        let (input_table, output_table) = self.model.tables_mut();
        one(input_table, &mut self.adam.input, input, &self.dense_input)?;
        if let (Some(table), Some(moments), Some(output)) = (output_table, &mut self.adam.output, output) {
            one(table, moments, output, &self.dense_output)?;
        }
        for (name, gradient) in parameters {
            let mut values = self.model.parameters().values(name)?;
            let moments = self.adam.parameters.get_mut(name).ok_or_else(|| no_gradient(name))?;
            let update = if tower::is_of(name) { &of_towers } else { &all };
            adam::dense(&mut values, moments, gradient, scale, update);
            self.model.parameters_mut().set(name, &values)?;
        }
        self.adam.updates += 1;
        Ok(())
    }
}

/// A leaf `(u, r)` of table rows.
fn gathered(table: &Table, ids: &[u32]) -> Result<Var> {
    let rank = table.rank();
    let mut rows = vec![0.0; ids.len() * rank];
    let chunk = 1024;
    rows.par_chunks_mut(chunk * rank)
        .zip(ids.par_chunks(chunk))
        .for_each(|(rows, ids)| gather(table.rows(), rank, ids, rows));
    Ok(Var::from_tensor(&Tensor::from_vec(rows, (ids.len(), rank), &Device::Cpu)?)?)
}

fn rows_of(gradients: &GradStore, leaf: &Var, ids: &[u32]) -> Result<TableGradient> {
    let gradient = gradients.get(leaf.as_tensor()).ok_or_else(|| no_gradient("item rows"))?.contiguous()?;
    let gradients = Host::of("the gradient of item rows", &gradient).values()?.to_vec();
    Ok(TableGradient::Rows { ids: ids.to_vec(), gradients })
}

pub(crate) fn no_gradient(name: &str) -> Error {
    candle_core::Error::Msg(format!("{name} got no gradient from the loss")).into()
}

/// Adds row gradients to a whole table's, which then stands for them.
fn add_rows(dense: &mut [f32], rank: usize, rows: &mut TableGradient) {
    if let TableGradient::Rows { ids, gradients } = &*rows {
        for (&id, gradient) in ids.iter().zip(gradients.chunks_exact(rank)) {
            let sum = &mut dense[id as usize * rank..][..rank];
            sum.iter_mut().zip(gradient).for_each(|(sum, part)| *sum += part);
        }
    }
    *rows = TableGradient::Dense;
}

/// The sum of squares, in an order that depends on the length alone.
fn squares(values: &[f32]) -> f64 {
    let parts: Vec<f64> = values.par_chunks(SUM_CHUNK).map(sum_squares).collect();
    parts.iter().sum()
}

#[cfg(test)]
mod tests;
