//! One step on a device, queued without waiting for it.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use upnext_kernels::rows::Adam as Numbers;
use upnext_model::ops::rows::{Late, Squares, control, moments, pick_rows, update_all, update_rows};
use upnext_model::{Drop, ModelConfig, Parameters, Table};

use super::lay::{Laid, LaidScored, Picked};
use super::loss::{Full, full, sampled};
use crate::Result;
use crate::adam::{Moments, numbers};
use crate::config::TrainConfig;
use crate::full_softmax::BLOCK_ITEMS;
use crate::step::{Learner, Outcome, no_gradient};

/// A model in training on a device.
pub(crate) struct DeviceLearner {
    config: ModelConfig,
    train: TrainConfig,
    parameters: Parameters,
    /// `(2, …)` moments of each parameter.
    moments: BTreeMap<String, Tensor>,
    input: Rows,
    /// Absent when the input table is scored.
    output: Option<Rows>,
    squares: Squares,
    /// Updates done; a step that has not been read yet counts as one.
    updates: u64,
    late: Late,
}

/// A table and its moments.
struct Rows {
    /// `(i, r)`
    table: Tensor,
    /// `(2, i, r)`
    moments: Tensor,
}

/// The gradient of a table.
enum Gradient<'a> {
    /// `(u, r)` of the picked rows.
    Rows(&'a Picked, Tensor),
    /// `(i, r)`
    Whole(Tensor),
}

impl DeviceLearner {
    /// A copy of a model in training on a device.
    ///
    /// # Errors
    /// When the device has no room.
    pub(crate) fn new(learner: &Learner, device: &Device) -> Result<Self> {
        let (model, adam) = (&learner.model, &learner.adam);
        let parameters = model.parameters().to_device(device)?;
        let mut by_name = BTreeMap::new();
        for (name, var) in parameters.iter() {
            let own = adam.parameters.get(name).ok_or_else(|| no_gradient(name))?;
            by_name.insert(name.to_owned(), sent(own, var.dims(), device)?);
        }
        let rows = |table: &Table, moments: &Moments| -> Result<Rows> {
            let shape = [table.items(), table.rank()];
            let values = Tensor::from_slice(table.rows(), &shape[..], device)?;
            Ok(Rows { table: values, moments: sent(moments, &shape, device)? })
        };
        let output = adam.output.as_ref().map(|moments| rows(model.output_table(), moments)).transpose()?;
        Ok(Self {
            config: model.config().clone(),
            train: learner.train().clone(),
            squares: Squares::new(parameters.len() + 2, device)?,
            parameters,
            moments: by_name,
            input: rows(model.input_table(), &adam.input)?,
            output,
            updates: adam.updates,
            late: Late::default(),
        })
    }

    /// Where it computes.
    pub(crate) fn device(&self) -> &Device {
        self.input.table.device()
    }

    /// Queues a step; gives what the step before it did, once that is known.
    ///
    /// A step that was queued before a bad one is known to be bad counts that one as an update in its bias correction.
    ///
    /// # Errors
    /// When a parameter gets no gradient, or the device refuses.
    pub(crate) fn step(&mut self, laid: &Laid, lr: f64) -> Result<Option<Outcome>> {
        let drop = Drop { seed: self.train.seed, step: laid.step, rate: self.config.dropout };
        let leaf = picked(&self.input.table, &laid.input)?;
        let states = laid.batch.forward(&self.config, &self.parameters, leaf.as_tensor(), Some(drop))?;
        let (loss, gradients, input, output) = self.differentiate(laid, &leaf, &states)?;
        let mut slot = 0;
        let mut add = |gradient: &Tensor| -> Result<()> {
            self.squares.set(slot, gradient)?;
            slot += 1;
            Ok(())
        };
        add(input.tensor())?;
        output.as_ref().map(|output| add(output.tensor())).transpose()?;
        let mut of_parameters = Vec::with_capacity(self.parameters.len());
        for (name, var) in self.parameters.iter() {
            let gradient = gradients.get(var.as_tensor()).ok_or_else(|| no_gradient(name))?;
            add(gradient)?;
            of_parameters.push((name, var, gradient));
        }
        let control = control(&self.squares, &loss, self.train.clip)?;
        let numbers = numbers(&self.train, self.updates, lr);
        self.input.update(&input, &control, &numbers)?;
        if let (Some(rows), Some(gradient)) = (&self.output, &output) {
            rows.update(gradient, &control, &numbers)?;
        }
        for (name, var, gradient) in of_parameters {
            let moments = self.moments.get(name).ok_or_else(|| no_gradient(name))?;
            update_all(var.as_tensor(), moments, gradient, &control, &numbers)?;
        }
        self.updates += 1;
        self.late.post(&control)?;
        if self.late.len() > 1 { self.read() } else { Ok(None) }
    }

    /// Waits for the step that was not read yet, if there is one.
    ///
    /// # Errors
    /// When the device has failed.
    pub(crate) fn settle(&mut self) -> Result<Option<Outcome>> {
        self.read()
    }

    /// Copies tables, parameters and moments back.
    ///
    /// # Errors
    /// When the device has failed.
    pub(crate) fn write_back(&self, learner: &mut Learner) -> Result<()> {
        let Learner { model, adam, .. } = learner;
        let (input, output) = model.tables_mut();
        self.input.write_back(input, &mut adam.input)?;
        if let (Some(rows), Some(table), Some(moments)) = (&self.output, output, &mut adam.output) {
            rows.write_back(table, moments)?;
        }
        for (name, var) in self.parameters.iter() {
            model.parameters_mut().set(name, &values(var.as_tensor())?)?;
            let own = self.moments.get(name).ok_or_else(|| no_gradient(name))?;
            adam.parameters.insert(name.to_owned(), received(own)?);
        }
        adam.updates = self.updates;
        Ok(())
    }

    fn read(&mut self) -> Result<Option<Outcome>> {
        let Some(control) = self.late.read()? else { return Ok(None) };
        let &[_scale, flag, norm, loss] = &control[..] else {
            return Err(candle_core::Error::Msg("a step's control has four numbers".into()).into());
        };
        let outcome = Outcome { loss: f64::from(loss), gradient_norm: f64::from(norm), finite: flag != 0.0 };
        if !outcome.finite {
            self.updates -= 1;
        }
        Ok(Some(outcome))
    }

    /// The loss, all gradients that a graph holds, and those of the tables.
    fn differentiate<'a>(
        &self,
        laid: &'a Laid,
        leaf: &Var,
        states: &Tensor,
    ) -> Result<(Tensor, GradStore, Gradient<'a>, Option<Gradient<'a>>)> {
        let weights = &laid.weights_p1;
        match &laid.scored {
            LaidScored::Sampled(candidates) => {
                let scored = match (&self.output, &candidates.output) {
                    (Some(rows), Some(output)) => Some((picked(&rows.table, output)?, output)),
                    _ => None,
                };
                let scored_leaf = scored.as_ref().map_or(leaf, |(leaf, _)| leaf);
                let loss = sampled(states, scored_leaf.as_tensor(), weights, candidates)?;
                let gradients = loss.backward()?;
                let input = of_leaf(&gradients, leaf, &laid.input)?;
                let output = scored.map(|(leaf, output)| of_leaf(&gradients, &leaf, output)).transpose()?;
                Ok((loss, gradients, input, output))
            }
            LaidScored::All { targets } => {
                let table = self.output.as_ref().map_or(&self.input.table, |rows| &rows.table);
                let targets = (&targets.0, &targets.1);
                let Full { loss, dh_pr, dtable_ir } = full(states, table, weights, targets, BLOCK_ITEMS)?;
                // A sum whose gradient is the loss's.
                let gradients = (states * dh_pr)?.sum_all()?.backward()?;
                let input = of_leaf(&gradients, leaf, &laid.input)?;
                match (self.output.is_some(), input) {
                    (true, input) => Ok((loss, gradients, input, Some(Gradient::Whole(dtable_ir)))),
                    (false, Gradient::Whole(input)) => {
                        Ok((loss, gradients, Gradient::Whole((dtable_ir + input)?), None))
                    }
                    (false, Gradient::Rows(..)) => Err(no_gradient("the whole item table")),
                }
            }
        }
    }
}

impl Gradient<'_> {
    fn tensor(&self) -> &Tensor {
        match self {
            Self::Rows(_, gradient) | Self::Whole(gradient) => gradient,
        }
    }
}

impl Rows {
    fn update(&self, gradient: &Gradient<'_>, control: &Tensor, numbers: &Numbers) -> Result<()> {
        let Self { table, moments } = self;
        match gradient {
            Gradient::Rows(picked, gradient) => {
                update_rows(table, moments, &picked.ids_u, gradient, control, numbers)?;
            }
            Gradient::Whole(gradient) => update_all(table, moments, gradient, control, numbers)?,
        }
        Ok(())
    }

    fn write_back(&self, table: &mut Table, moments: &mut Moments) -> Result<()> {
        table.rows_mut().copy_from_slice(&values(&self.table)?);
        *moments = received(&self.moments)?;
        Ok(())
    }
}

/// A leaf `(u, r)` of table rows.
fn picked(table: &Tensor, picked: &Picked) -> Result<Var> {
    Ok(Var::from_tensor(&pick_rows(table, &picked.ids_u)?)?)
}

/// A leaf's gradient, spread over the whole table where that is updated.
fn of_leaf<'a>(gradients: &GradStore, leaf: &Var, picked: &'a Picked) -> Result<Gradient<'a>> {
    let gradient = gradients.get(leaf.as_tensor()).ok_or_else(|| no_gradient("item rows"))?.clone();
    Ok(match &picked.place_i {
        Some(place_i) => Gradient::Whole(pick_rows(&gradient, place_i)?),
        None => Gradient::Rows(picked, gradient),
    })
}

/// `(2, …)` moments on a device.
fn sent(own: &Moments, shape: &[usize], device: &Device) -> Result<Tensor> {
    let both = moments(&Tensor::zeros(shape, candle_core::DType::F32, device)?)?;
    for (values, at) in [&own.first, &own.second].into_iter().zip(0..) {
        let values = Tensor::from_slice(values, [&[1], shape].concat(), device)?;
        both.slice_set(&values, 0, at)?;
    }
    Ok(both)
}

fn received(both: &Tensor) -> Result<Moments> {
    Ok(Moments { first: values(&both.get(0)?)?, second: values(&both.get(1)?)? })
}

fn values(x: &Tensor) -> Result<Vec<f32>> {
    Ok(x.flatten_all()?.to_vec1()?)
}
