//! Text with holes: fills a template from the values of expressions, as settings fill theirs from columns.

use std::sync::Arc;

use arrow_array::builder::StringViewBuilder;
use arrow_array::{Array, StringViewArray};
use arrow_schema::{ArrowError, DataType};
use weir_plan::Value;
use weir_runtime::Registry;
use weir_runtime::batch::{BatchError, Column};
use weir_runtime::expressions::{Call, Evaluated, FILL, Function};

use super::Renderer;

/// Registers the function that fills the holes of texts.
pub(crate) fn register(registry: Registry) -> Registry {
    registry.function(FILL, make)
}

struct Fill(Renderer);

fn make(call: &Call<'_>) -> Result<Box<dyn Function>, String> {
    let Some(Value::Template(template)) = call.constant(0) else {
        return Err("its template is no constant".to_owned());
    };
    let renderer = Renderer::new(template, "UTC").map_err(|error| error.to_string())?;
    let data_type = |hole: &str| call.data_type(hole.parse().ok()?);
    renderer.check(data_type).map_err(|error| error.to_string())?;
    Ok(Box::new(Fill(renderer)))
}

impl Function for Fill {
    fn call(&self, values: &[Column], rows: usize) -> Result<Evaluated, BatchError> {
        let value = |hole: &str| values.get(hole.parse::<usize>().ok()?.checked_sub(1)?);
        let bound = self.0.bind_columns(value, rows);
        let bound = bound.map_err(|error| ArrowError::ComputeError(error.to_string()))?;
        let is_null = |row: usize| values.iter().any(|column| column.values().is_null(column.index(row)));
        let has_nulls = values.iter().any(|column| column.values().null_count() > 0);
        let mut texts = StringViewBuilder::with_capacity(rows);
        let mut text = String::new();
        for row in 0..rows {
            // A branch of the expression that does not take the row may have no value for a hole.
            if has_nulls && is_null(row) {
                texts.append_null();
                continue;
            }
            text.clear();
            bound.render(row, &mut text);
            texts.append_value(&text);
        }
        let texts: StringViewArray = texts.finish();
        debug_assert_eq!(texts.data_type(), &DataType::Utf8View);
        Ok(Column::Array(Arc::new(texts)).into())
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::{Int64Array, TimestampMicrosecondArray};
    use weir_plan::{Expression, Hole, HoleFormat, Operation, Template, TemplatePart};

    use super::*;

    fn expression(data_type: &DataType, operation: Operation) -> Expression {
        Expression { data_type: data_type.clone(), nullable: false, operation }
    }

    /// Fills a template whose holes, with a hyphen between them, have these formats.
    fn filled(columns: &[Column], formats: &[HoleFormat]) -> Result<Vec<Option<String>>, String> {
        let mut parts = vec![];
        for (index, format) in formats.iter().enumerate() {
            let column = (index + 1).to_string();
            parts.push(TemplatePart::Hole(Hole { column, format: format.clone() }));
            parts.push(TemplatePart::Text("-".into()));
        }
        let template = Operation::Literal(Value::Template(Template { parts }));
        let mut arguments = vec![expression(&DataType::Utf8View, template)];
        let given = |column: &Column| expression(column.data_type(), Operation::Column("x".into()));
        arguments.extend(columns.iter().map(given));
        let function = register(Registry::default()).make_function(FILL, &arguments)?;
        let rows = columns.iter().map(|column| column.values().len()).max().unwrap();
        let result = function.call(columns, rows).unwrap();
        Ok(result.values.values().as_string_view().iter().map(|text| text.map(str::to_owned)).collect())
    }

    #[test]
    fn holes_are_written_as_in_templates() {
        let texts: StringViewArray = vec![Some("a/b"), None].into_iter().collect();
        let times = TimestampMicrosecondArray::from(vec![0, 86_400_000_000]).with_timezone("UTC");
        let columns = [
            Column::Array(Arc::new(texts)),
            Column::Array(Arc::new(Int64Array::from(vec![7, 8]))),
            Column::Array(Arc::new(times)),
            Column::constant_text("same"),
        ];
        let day = HoleFormat::Time("%Y-%m-%d".into());
        let formats = [HoleFormat::Plain, HoleFormat::Padded(3), day, HoleFormat::Plain];
        let found = filled(&columns, &formats).unwrap();
        assert_eq!(found, [Some("a/b-007-1970-01-01-same-".to_owned()), None]);
    }

    #[test]
    fn a_format_that_does_not_fit_is_refused_before_anything_runs() {
        let numbers = [Column::Array(Arc::new(Int64Array::from(vec![7])))];
        assert!(filled(&numbers, &[HoleFormat::Time("%Y".into())]).is_err());
    }
}
