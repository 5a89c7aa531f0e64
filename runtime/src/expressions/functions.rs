//! The functions, tables and surroundings that expressions are compiled with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{ArrayRef, StringViewArray};
use arrow_schema::DataType;
use weir_plan::{Function as PlannedFunction, Table};

use super::access::ConstantMap;
use super::apply::ProgramFunction;
use super::call::MakeFunction;
use super::{CompileError, SharedExpressions, Tools, compile};
use crate::environment::clock::{Clock, SystemClock};

/// The rows of a lookup table.
pub struct TableRows {
    /// The key of each row.
    pub keys: StringViewArray,
    /// The rows, a record each.
    pub rows: ArrayRef,
}

/// Reads a lookup table, whose rows have this type. An error says in words why the file can't be read.
pub type ReadTable = fn(&Table, &DataType) -> Result<TableRows, String>;

/// The functions of the library and of the program, the reader of tables, and the time of day.
#[derive(Default)]
pub(crate) struct Functions {
    /// The functions of the library by name.
    pub(crate) library: BTreeMap<&'static str, MakeFunction>,
    /// The reader of lookup tables.
    pub(crate) read_table: Option<ReadTable>,
    program: Vec<PlannedFunction>,
    clock: Option<Arc<dyn Clock>>,
    /// The functions of the program that have been compiled, by their index.
    compiled: Mutex<BTreeMap<u32, Arc<ProgramFunction>>>,
    /// The tables that have been read; none for those that could not be read.
    tables: Mutex<Vec<(Table, Option<Arc<ConstantMap>>)>>,
}

impl Functions {
    /// Makes a set without functions.
    #[cfg(test)]
    pub(crate) const fn new() -> Functions {
        Functions {
            library: BTreeMap::new(),
            read_table: None,
            program: Vec::new(),
            clock: None,
            compiled: Mutex::new(BTreeMap::new()),
            tables: Mutex::new(Vec::new()),
        }
    }

    /// Returns the functions of the library together with those of a program, for an agent with this clock.
    pub(crate) fn of_program(&self, program: &[PlannedFunction], clock: &Arc<dyn Clock>) -> Functions {
        Functions {
            library: self.library.clone(),
            read_table: self.read_table,
            program: program.to_vec(),
            clock: Some(clock.clone()),
            ..Functions::default()
        }
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone().unwrap_or_else(|| Arc::new(SystemClock))
    }

    /// Returns a function of the program, which is compiled at its first use. No function calls itself, by the plan.
    ///
    /// # Errors
    /// When this version does not support a part of it, or the program does not have it.
    pub(super) fn of_index(&self, index: u32) -> Result<Arc<ProgramFunction>, CompileError> {
        let known = self.compiled.lock().unwrap_or_else(PoisonError::into_inner).get(&index).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let missing = || CompileError::Unsupported("a function of the program".to_owned());
        let planned = self.program.get(index as usize).ok_or_else(missing)?;
        let shared = SharedExpressions::of(planned.lets.iter().chain([&planned.result]));
        let tools = Tools { functions: self, shared: &shared };
        let lets = planned.lets.iter().map(|value| compile(value, &tools)).collect::<Result<_, _>>()?;
        let result = compile(&planned.result, &tools)?;
        let function = Arc::new(ProgramFunction { lets, result });
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.insert(index, function.clone());
        Ok(function)
    }

    /// Returns a lookup table of this type, which is read at its first use.
    ///
    /// # Errors
    /// When the file can't be read; at the next uses only that another error says so.
    pub(super) fn table(
        &self,
        table: &Table,
        data_type: &DataType,
    ) -> Result<Arc<ConstantMap>, CompileError> {
        let refused =
            |why: String| CompileError::Invalid(format!("the lookup table \"{}\": {why}", table.path));
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = tables.iter().find(|(known, _)| known == table) {
            return known.clone().ok_or(CompileError::Reported);
        }
        let read = self.read_table.ok_or_else(|| refused("no reader of tables".to_owned()))?;
        let row_type = ConstantMap::value_type(data_type).ok_or_else(|| refused("no table".to_owned()))?;
        let map = read(table, row_type).and_then(|rows| ConstantMap::of_rows(&rows)).map(Arc::new);
        tables.push((table.clone(), map.clone().ok()));
        map.map_err(refused)
    }
}
