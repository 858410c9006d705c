//! Networks of dense layers: specification, plan, workspace, and the passes.

mod calls;
mod fused;
mod layered;
mod layout;
mod narrow;
mod plan;
mod spec;
mod workspace;

pub use plan::{Keep, Plan, PlanOptions};
pub use spec::{LayerSpec, Mlp, MlpBuilder};
pub use workspace::Workspace;
