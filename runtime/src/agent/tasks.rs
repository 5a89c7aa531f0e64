//! The tasks of an agent's components, by name.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{Id, JoinSet};

use crate::failure::Failure;

/// Whose task it is.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) component: Arc<str>,
    /// Whether the others go on when it fails.
    pub(super) optional: bool,
}

/// Tasks that run, and whose they are. Dropping them ends them.
#[derive(Default)]
pub(super) struct Tasks {
    running: JoinSet<Result<(), Failure>>,
    members: HashMap<Id, Member>,
}

impl Tasks {
    pub(super) fn spawn(
        &mut self,
        member: Member,
        task: impl Future<Output = Result<(), Failure>> + Send + 'static,
    ) {
        self.members.insert(self.running.spawn(task).id(), member);
    }

    /// The next that ends, and how; none when there are none.
    pub(super) async fn join_next(&mut self) -> Option<(Member, Result<(), Failure>)> {
        let (id, result) = match self.running.join_next_with_id().await? {
            Ok((id, result)) => (id, result),
            // The panic's message and place are on standard error.
            Err(error) => (error.id(), Err(Failure::permanent(error))),
        };
        let unknown = || Member { component: "agent".into(), optional: false };
        Some((self.members.remove(&id).unwrap_or_else(unknown), result))
    }

    /// Forgets the task of this component; false if it was heard of before.
    pub(super) fn remove(&mut self, component: &str) -> bool {
        let before = self.members.len();
        self.members.retain(|_, member| *member.component != *component);
        self.members.len() < before
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether only optional ones are left.
    pub(super) fn are_optional(&self) -> bool {
        self.members.values().all(|member| member.optional)
    }

    /// The names of those that are left.
    pub(super) fn names(&self) -> String {
        let mut names: Vec<&str> = self.members.values().map(|member| &*member.component).collect();
        names.sort_unstable();
        names.join(", ")
    }

    /// Ends those that are left.
    pub(super) async fn shutdown(&mut self) {
        self.running.shutdown().await;
        self.members.clear();
    }
}
