//! Native ECS tools: looking at services, tasks and logs, and saying why a service fails.
//!
//! ```text
//! read (the AWS API) ──▶ facts ──▶ findings ──▶ diagnosis
//! ```

mod diagnosis;
mod facts;
mod findings;
mod logs;
mod read;
mod view;

pub use self::{
    diagnosis::{Diagnosis, diagnose},
    read::{ClusterList, Ecs, EcsError, ServiceList, TaskFilter, TaskList},
    view::{LogTail, ServiceView},
};
