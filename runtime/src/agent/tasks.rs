//! The tasks of an agent's components, by name.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{Id, JoinSet};

use crate::failure::Failure;

/// The component that a task runs.
#[derive(Debug, Clone)]
pub(super) struct TaskOwner {
    pub(super) component: Arc<str>,
    /// Whether the agent goes on when the component fails.
    pub(super) optional: bool,
}

/// Running tasks and their components. Dropping them aborts the tasks.
#[derive(Default)]
pub(super) struct Tasks {
    running: JoinSet<Result<(), Failure>>,
    owners: HashMap<Id, TaskOwner>,
}

impl Tasks {
    pub(super) fn spawn(
        &mut self,
        owner: TaskOwner,
        task: impl Future<Output = Result<(), Failure>> + Send + 'static,
    ) {
        self.owners.insert(self.running.spawn(task).id(), owner);
    }

    /// Waits for the next task to end, and returns its component and result; none if no task is left.
    pub(super) async fn join_next(&mut self) -> Option<(TaskOwner, Result<(), Failure>)> {
        let (id, result) = match self.running.join_next_with_id().await? {
            Ok((id, result)) => (id, result),
            // The panic hook has written the message and place to standard error.
            Err(error) => (error.id(), Err(Failure::permanent(error))),
        };
        let unknown = || TaskOwner { component: "agent".into(), optional: false };
        Some((self.owners.remove(&id).unwrap_or_else(unknown), result))
    }

    /// Removes the task of this component; false if its end was already returned.
    pub(super) fn remove(&mut self, component: &str) -> bool {
        let before = self.owners.len();
        self.owners.retain(|_, owner| *owner.component != *component);
        self.owners.len() < before
    }

    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Whether no task of a required component is left.
    pub(super) fn only_optional_left(&self) -> bool {
        self.owners.values().all(|owner| owner.optional)
    }

    /// The names of the components whose tasks are left.
    pub(super) fn names(&self) -> String {
        let mut names: Vec<&str> = self.owners.values().map(|owner| &*owner.component).collect();
        names.sort_unstable();
        names.join(", ")
    }

    /// Aborts the remaining tasks.
    pub(super) async fn shutdown(&mut self) {
        self.running.shutdown().await;
        self.owners.clear();
    }
}
