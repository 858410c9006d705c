//! Networks of dense layers.

mod spec;

pub use spec::{LayerSpec, Mlp, MlpBuilder};
