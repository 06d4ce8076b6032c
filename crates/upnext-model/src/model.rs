//! The trainable model: item tables, projections, decoder.
//!
//! Letters: n tokens · u distinct rows · d width · r rank.

use std::sync::Arc;

use candle_core::Tensor;
use upnext_kernels::products::Products;
use upnext_kernels::rotary::Rotary;

use crate::config::{ModelConfig, Positions};
use crate::dropout::Drop;
use crate::error::{Error, Result};
use crate::forms::{Composed, Forms, Fused, Jagged, decode, head};
use crate::init::{self, Parameters};
use crate::items::Table;
use crate::network::Network;
use crate::ops::Layout;
use crate::ops::gather::{self, Segments};
use crate::reads::{Pick, Reads};
use crate::vectors::Vectors;

/// A model's values, with the forward pass that gradients flow through.
pub struct Model {
    config: ModelConfig,
    parameters: Parameters,
    input: Table,
    /// Absent when the input table serves as output, too.
    output: Option<Table>,
    rotary: Option<Arc<Rotary>>,
}

impl Model {
    /// An untrained model over `items` items, every value drawn by (seed, name).
    ///
    /// # Errors
    /// When the configuration is not valid, or the model too large to be.
    pub fn new(config: ModelConfig, items: usize, seed: u64) -> Result<Self> {
        config.validate()?;
        config.parameter_count(items)?;
        let mut parameters = Parameters::new(seed);
        for spec in init::specs(&config) {
            parameters.matrix(&spec.name, spec.rows, spec.cols, spec.std)?;
        }
        let table = |name| Table::new(items, config.rank, init::table_std(&config), seed, name);
        let output = (!config.tied).then(|| table("items.output"));
        Ok(Self::of(parameters, table("items.input"), output, config))
    }

    /// A model of these values; the caller has checked that they fit the configuration.
    pub(crate) fn of(
        parameters: Parameters,
        input: Table,
        output: Option<Table>,
        config: ModelConfig,
    ) -> Self {
        let rotary = (config.positions == Positions::Rotary)
            .then(|| Arc::new(Rotary::new(config.head_width(), config.window)));
        Self { config, parameters, input, output, rotary }
    }

    /// The model's sizes and switches.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// i: how many items the model knows.
    #[must_use]
    pub fn items(&self) -> usize {
        self.input.items()
    }

    /// The vectors that the decoder reads.
    #[must_use]
    pub fn input_table(&self) -> &Table {
        &self.input
    }

    /// The vectors that states are scored against; the input table when they are tied.
    #[must_use]
    pub fn output_table(&self) -> &Table {
        self.output.as_ref().unwrap_or(&self.input)
    }

    /// The second table, where the model has one.
    pub(crate) fn untied_table(&self) -> Option<&Table> {
        self.output.as_ref()
    }

    /// Both tables, to be changed; the second is absent when they are tied.
    pub fn tables_mut(&mut self) -> (&mut Table, Option<&mut Table>) {
        (&mut self.input, self.output.as_mut())
    }

    /// The same decoder over other tables, the second absent when one serves both sides; their rows are the model's items.
    #[must_use]
    pub fn with_tables(self, input: Table, output: Option<Table>) -> Self {
        Self { input, output, ..self }
    }

    /// Everything trainable but the item tables.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Everything trainable but the item tables, to be changed.
    pub fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    /// States `g(x)` `(n, r)` of every token, to be scored against output rows by dot products; or those that `reads` names,
    /// `(N, r)` and in its order.
    ///
    /// # Shapes
    /// `rows_ur` `(u, r)`: the step's gathered input rows; `token_rows` `(n)`: which of them each token is;
    /// `offsets` `(b + 1)`: where in the tokens each history begins, and where the last one ends.
    ///
    /// `products` says how activations and their gradients are multiplied with the weights; the rest is f32.
    ///
    /// # Errors
    /// When shapes disagree, a history is empty or longer than the window, or a token names no row.
    pub fn forward(
        &self,
        rows_ur: &Tensor,
        token_rows: &[u32],
        offsets: &[usize],
        drop: Option<Drop>,
        products: Products,
        reads: Option<&Reads>,
    ) -> Result<Tensor> {
        let forms = Fused(self.jagged(rows_ur, token_rows, offsets, products)?);
        self.states(&forms, gather::run, rows_ur, drop, reads)
    }

    /// The same as [`Model::forward`], composed of candle's own operations: for tests and other devices.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn forward_reference(
        &self,
        rows_ur: &Tensor,
        token_rows: &[u32],
        offsets: &[usize],
        drop: Option<Drop>,
        products: Products,
        reads: Option<&Reads>,
    ) -> Result<Tensor> {
        let forms = Composed(self.jagged(rows_ur, token_rows, offsets, products)?);
        let pick: Pick = |leaf, segments| gather::reference(leaf, segments);
        self.states(&forms, pick, rows_ur, drop, reads)
    }

    fn states(
        &self,
        forms: &impl Forms,
        pick: Pick,
        rows_ur: &Tensor,
        drop: Option<Drop>,
        reads: Option<&Reads>,
    ) -> Result<Tensor> {
        let x_nd = decode(forms, &self.config, &self.parameters, rows_ur, drop)?;
        let Some(reads) = reads else { return head(forms, &self.config, &self.parameters, &x_nd) };
        let (expected, found) = (x_nd.dim(0)?, reads.batch());
        if found != expected {
            return Err(Error::Size { what: "the batch that states are read of", found, expected });
        }
        let x_nd = reads.before_head(x_nd, &self.parameters, pick)?;
        reads.after_head(head(forms, &self.config, &self.parameters, &x_nd)?, pick)
    }

    /// The decoder as it is now, frozen for serving.
    ///
    /// # Errors
    /// When a parameter cannot be read.
    pub fn network(&self) -> Result<Network> {
        Network::new(&self.config, |name| self.parameters.values(name))
    }

    /// The item vectors as they are now, borrowed: for validation during training.
    ///
    /// # Errors
    /// None in practice: a model's tables have equal shapes.
    pub fn vectors(&self) -> Result<Vectors<'_>> {
        Vectors::from_tables(self.input.rows(), self.output.as_ref().map(Table::rows), self.config.rank)
    }

    /// The batch, its histories none longer than the window.
    fn jagged(
        &self,
        rows_ur: &Tensor,
        token_rows: &[u32],
        offsets: &[usize],
        products: Products,
    ) -> Result<Jagged> {
        let (u, r) = rows_ur.dims2()?;
        if r != self.config.rank {
            return Err(Error::Size { what: "a gathered item row", found: r, expected: self.config.rank });
        }
        let layout = Layout::new(offsets)?;
        if layout.tokens() != token_rows.len() {
            let (found, expected) = (token_rows.len(), layout.tokens());
            return Err(Error::Size { what: "the list of tokens' rows", found, expected });
        }
        let window = self.config.window;
        if let Some(history) = (0..layout.histories()).find(|&j| layout.tokens_of(j).len() > window) {
            return Err(Error::PastWindow { history, len: layout.tokens_of(history).len(), window });
        }
        let segments = Arc::new(Segments::new(token_rows, u)?);
        let (layout, rotary) = (Arc::new(layout), self.rotary.clone());
        Ok(Jagged { layout, segments, heads: self.config.heads, rotary, products })
    }
}
