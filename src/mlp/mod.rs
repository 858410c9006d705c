//! Networks of dense layers: specification, plan, workspace, and the passes.

mod call;
mod calls;
mod ends;
mod fold;
mod fused;
mod fused_slots;
mod fused_split;
mod fused_tile;
mod groups;
mod kept;
mod layered;
mod layout;
mod narrow;
mod narrow_few;
mod narrow_store;
mod packed;
mod packing;
mod params;
mod pass;
mod path;
mod plan;
mod run;
mod script;
mod setup;
mod slots;
mod spec;
mod train;
mod workspace;

pub use kept::Kept;
pub use packed::PackedParams;
pub use params::{GradsMut, LayerGrads, LayerParams, ParamsRef};
pub use path::PathKind;
pub use plan::{Plan, PlanOptions};
pub use spec::{LayerSpec, Mlp, MlpBuilder};
pub use train::{ParamsMut, Trained};
pub use workspace::Workspace;
