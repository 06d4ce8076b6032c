//! Parameters: their names, shapes and first values.
//!
//! A first value is a draw by key: the seed, the parameter's name, and the block of rows. So a parameter's
//! values do not depend on the order of creation, on other parameters, or on threads.
//!
//! # How large the first values are
//!
//! RMSNorm in front of every sub-layer makes its input have mean square 1 whatever came before, so only ratios
//! matter: how large logits are at the start, and how much a sub-layer adds to the residual stream compared
//! with the item that entered it.
//!
//! - **Logits** are `g(x) · v` with `g(x)` of mean square 1, thus of standard deviation `√r · std(v)`. We take
//!   0.16, which is std(v) = 0.02 at r = 64 as in the published SASRec tables: every item starts nearly equally
//!   likely, and the first loss is the logarithm of the number of candidates. It also keeps tables *small*: Adam
//!   moves a value by about its learning rate a step, so a row that is seen rarely can still leave its first
//!   value behind.
//! - **Items enter** the stream as `v · W_in`. With std(`W_in`) = 1 they have a root mean square of
//!   `√r · std(v)` = 0.16 a component: what SASRec's multiplication by `√d` does, and large enough that position
//!   and sub-layers colour an item and do not drown it. Without projections that factor stands alone
//!   ([`ModelConfig::entering_scale`]).
//! - **Learned positions** have half the scale of the items that they are added to.
//! - **Inside a sub-layer** weights have standard deviation `1/√(inputs)`: queries, keys, gates of mean square 1.
//! - **What a sub-layer adds** is scaled so that all 2l of them together have the scale of the entering item:
//!   `scale / √(inputs · 2l)`, GPT-2's rule (Radford et al. 2019) relative to the stream instead of absolute.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use upnext_data::chance::{Key, Purpose, name_key};

use crate::config::{ModelConfig, Positions};
use crate::error::{Error, Result};
use crate::tower;

/// Standard deviation of the logits of an untrained model.
const LOGIT_STD: f32 = 0.16;

/// Root mean square of an item's vector as it enters the decoder.
const ENTERING_STD: f32 = LOGIT_STD;

/// The vectors of the horizons after the first, `(K - 1, d)`.
pub(crate) const HORIZONS: &str = "head.horizons";

/// Values that one key draws; a fixed number, so that threads do not move a bit.
const BLOCK: usize = 1 << 16;

/// A parameter before it has values: a matrix of `rows` × `cols`, drawn with standard deviation `std`.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The name, also in files.
    pub name: String,
    /// Rows (outputs of the product).
    pub rows: usize,
    /// Columns (inputs of the product).
    pub cols: usize,
    /// Standard deviation of the first values.
    pub std: f32,
}

/// Every parameter of a model but its item tables, in the order of use.
#[must_use]
pub fn specs(config: &ModelConfig) -> Vec<Spec> {
    let (d, r, m) = (config.width, config.rank, config.hidden);
    let fan_in = |inputs: usize| 1.0 / (inputs as f32).sqrt();
    let added = ENTERING_STD / (2.0 * config.layers as f32).sqrt();
    let spec = |name: String, rows: usize, cols: usize, std: f32| Spec { name, rows, cols, std };
    let mut specs = Vec::new();
    if config.project {
        specs.push(spec("items.project_in".to_owned(), d, r, 1.0));
    }
    if config.positions == Positions::Learned {
        specs.push(spec("positions".to_owned(), config.window, d, ENTERING_STD / 2.0));
    }
    for layer in 0..config.layers {
        specs.push(spec(format!("decoder.{layer}.attention.qkv"), 3 * d, d, fan_in(d)));
        specs.push(spec(format!("decoder.{layer}.attention.out"), d, d, added * fan_in(d)));
        specs.push(spec(format!("decoder.{layer}.mlp.gate_up"), 2 * m, d, fan_in(d)));
        specs.push(spec(format!("decoder.{layer}.mlp.down"), d, m, added * fan_in(m)));
    }
    if config.own_horizons() > 1 {
        // The far ones begin as the first.
        specs.push(spec(HORIZONS.to_owned(), config.own_horizons() - 1, d, 0.0));
    }
    if config.project {
        specs.push(spec("head.project".to_owned(), r, d, fan_in(d)));
    }
    if let Some(tower) = &config.tower {
        for (name, width) in &tower.modalities {
            // A vector of length 1 makes gates of mean square 1, and these about half the scale of a table's row.
            specs.push(spec(tower::direct(name), r, *width, table_std(config)));
            specs.push(spec(tower::gate_up(name), 2 * tower.hidden, *width, 1.0));
            specs.push(spec(tower::down(name), r, tower.hidden, table_std(config) * fan_in(tower.hidden)));
        }
        if tower.trains_stand_in() {
            specs.push(spec(tower::OUT_OF_VOCABULARY.to_owned(), 1, r, 0.0));
        }
    }
    specs
}

/// Standard deviation of an item table's first values: logits of standard deviation 0.16.
#[must_use]
pub fn table_std(config: &ModelConfig) -> f32 {
    LOGIT_STD / (config.rank as f32).sqrt()
}

/// `count` normal draws of standard deviation `std` for the parameter `name`.
pub(crate) fn normal(seed: u64, name: &str, std: f32, count: usize) -> Vec<f32> {
    let part = name_key(name);
    let mut values = vec![0.0; count];
    values.par_chunks_mut(BLOCK).enumerate().for_each(|(block, values)| {
        let mut rng = Key { seed, purpose: Purpose::Init, step: block as u64, part }.rng();
        for pair in values.chunks_mut(2) {
            let (first, second) = normal_pair(&mut rng);
            pair[0] = first * std;
            if let Some(value) = pair.get_mut(1) {
                *value = second * std;
            }
        }
    });
    values
}

/// Two independent standard normal draws (Box and Muller 1958); at most 6.7 in size, as 32 bits can give.
fn normal_pair(rng: &mut ChaCha8Rng) -> (f32, f32) {
    const UNIT: f64 = 1.0 / 4_294_967_296.0;
    let radius = (-2.0 * ((f64::from(rng.random::<u32>()) + 1.0) * UNIT).ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * f64::from(rng.random::<u32>()) * UNIT).sin_cos();
    ((radius * cos) as f32, (radius * sin) as f32)
}

/// The trainable matrices of a model but its item tables, by name, sorted.
#[derive(Debug)]
pub struct Parameters {
    seed: u64,
    by_name: BTreeMap<String, Var>,
}

impl Parameters {
    /// No parameters yet; those created later are drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, by_name: BTreeMap::new() }
    }

    /// Creates a `(rows, cols)` parameter, drawn by (seed, name).
    ///
    /// # Errors
    /// When the name is taken.
    pub fn matrix(&mut self, name: &str, rows: usize, cols: usize, std: f32) -> Result<()> {
        let values = normal(self.seed, name, std, rows * cols);
        self.insert(name, rows, cols, values)
    }

    /// Creates a `(rows, cols)` parameter with given values.
    pub(crate) fn insert(&mut self, name: &str, rows: usize, cols: usize, values: Vec<f32>) -> Result<()> {
        if self.by_name.contains_key(name) {
            return Err(Error::RepeatedParameter { name: name.to_owned() });
        }
        let var = Var::from_tensor(&Tensor::from_vec(values, (rows, cols), &Device::Cpu)?)?;
        self.by_name.insert(name.to_owned(), var);
        Ok(())
    }

    /// The parameter of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, name: &str) -> Result<&Var> {
        self.by_name.get(name).ok_or_else(|| Error::UnknownParameter { name: name.to_owned() })
    }

    /// All parameters in byte order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Var)> {
        self.by_name.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// Copies on a device.
    ///
    /// # Errors
    /// When it has no room.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        let copy = |(name, var): (&String, &Var)| {
            Ok((name.clone(), Var::from_tensor(&var.as_tensor().detach().to_device(device)?.copy()?)?))
        };
        Ok(Self { seed: self.seed, by_name: self.by_name.iter().map(copy).collect::<Result<_>>()? })
    }

    /// How many parameters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Replaces a parameter's values, row-major.
    ///
    /// # Errors
    /// When there is no such parameter, or the number of values is not its own.
    pub fn set(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let var = self.get(name)?;
        if values.len() != var.elem_count() {
            return Err(Error::Size {
                what: "parameter values",
                found: values.len(),
                expected: var.elem_count(),
            });
        }
        Ok(var.set(&Tensor::from_slice(values, var.shape(), var.device())?)?)
    }

    /// A copy of a parameter's values, row-major.
    ///
    /// # Errors
    /// When there is no such parameter.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.get(name)?.flatten_all()?.to_vec1()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_asked_spread_and_no_drift() {
        let values = normal(1, "items.input", 0.02, 200_001);
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / 200_001.0;
        let square = values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 200_001.0;
        assert!(mean.abs() < 2e-4, "mean {mean}");
        assert!((square.sqrt() - 0.02).abs() < 2e-4, "spread {}", square.sqrt());
        let past_two = values.iter().filter(|x| x.abs() > 0.04).count();
        assert!(
            (8_600..9_600).contains(&past_two),
            "4.55 % lie past two deviations, not {past_two} of 200001"
        );
    }

    #[test]
    fn values_depend_on_seed_and_name_and_on_nothing_else() {
        assert_eq!(normal(1, "a", 1.0, 100), normal(1, "a", 1.0, 101)[..100]);
        assert_ne!(normal(1, "a", 1.0, 8), normal(1, "b", 1.0, 8));
        assert_ne!(normal(1, "a", 1.0, 8), normal(2, "a", 1.0, 8));
        let mut parameters = Parameters::new(1);
        parameters.matrix("b", 2, 4, 1.0).unwrap();
        parameters.matrix("a", 2, 4, 1.0).unwrap();
        assert_eq!(parameters.values("a").unwrap(), normal(1, "a", 1.0, 8));
        assert_eq!(parameters.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_taken_name_and_a_wrong_size_are_refused() {
        let mut parameters = Parameters::new(1);
        parameters.matrix("a", 2, 2, 1.0).unwrap();
        assert!(matches!(parameters.matrix("a", 2, 2, 1.0), Err(Error::RepeatedParameter { .. })));
        assert!(matches!(parameters.set("a", &[0.0; 3]), Err(Error::Size { found: 3, expected: 4, .. })));
        assert!(matches!(parameters.get("b"), Err(Error::UnknownParameter { .. })));
        parameters.set("a", &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(parameters.values("a").unwrap(), [1.0, 2.0, 3.0, 4.0]);
    }
}
