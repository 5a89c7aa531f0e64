//! The columns that may differ on a way when its events come again, by the reason for which they come again.

use weir_plan::Action;
use weir_plan::varying::Varying;

use super::super::program::Program;
use crate::analysis::graph::Edge;

/// The columns that may differ when events come again.
#[derive(Debug, Clone)]
pub(super) struct Differing {
    /// If the same steps are applied to the same events again.
    pub(super) varying: Varying,
    /// If a source reads the events again, whose headers may be others, and the files of lookup tables have changed.
    pub(super) reread: Varying,
    /// If only the files of lookup tables have changed that are read behind the beginning of the edge.
    pub(super) tables: Varying,
    /// If a source reads the events again, and the files of lookup tables are the same.
    pub(super) headers: Varying,
}

impl Differing {
    /// Begins at the origin of an edge.
    pub(super) fn begin(program: &Program<'_>, edge: &Edge) -> Differing {
        let is_behind = program.is_behind_channel(edge);
        Differing {
            varying: Varying::begin(is_behind),
            reread: program.begin(edge),
            tables: Varying::begin(is_behind).with_tables(),
            headers: program.begin_without_tables(edge),
        }
    }

    /// Goes on behind a step.
    pub(super) fn behind(self, action: &Action) -> Differing {
        let behind = |varying: Varying| varying.behind(std::iter::once(action));
        let Differing { varying, reread, tables, headers } = self;
        Differing {
            varying: behind(varying),
            reread: behind(reread),
            tables: behind(tables),
            headers: behind(headers),
        }
    }

    /// Goes on behind a channel that the compiler added, which is not durable.
    pub(super) fn behind_channel(self) -> Differing {
        let begin = |before: &Varying| Varying::begin(true).with_columns(before.columns());
        Differing {
            varying: Varying::begin(true),
            reread: begin(&self.reread).with_tables(),
            tables: begin(&self.tables).with_tables(),
            headers: begin(&self.headers),
        }
    }
}
