//! Parquet schemas in which nothing is null and columns have any name.

use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::errors::Result;
use parquet::schema::types::{Type, TypePtr};

/// `required PHYSICAL NAME`.
pub(crate) fn plain(name: &str, physical: Physical) -> Result<TypePtr> {
    let built = Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED).build();
    built.map(Arc::new)
}

/// `required binary NAME (STRING)`.
pub(crate) fn text(name: &str) -> Result<TypePtr> {
    let built = Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::String))
        .with_converted_type(ConvertedType::UTF8)
        .build();
    built.map(Arc::new)
}

/// `required group NAME (LIST) { repeated group list { ELEMENT } }`, whose element is called `element`.
pub(crate) fn list(name: &str, element: TypePtr) -> Result<TypePtr> {
    let list = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![element])
        .build()?;
    let built = Type::group_type_builder(name)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::List))
        .with_converted_type(ConvertedType::LIST)
        .with_fields(vec![Arc::new(list)])
        .build();
    built.map(Arc::new)
}

/// The table.
pub(crate) fn table(name: &str, columns: Vec<TypePtr>) -> Result<TypePtr> {
    Type::group_type_builder(name).with_fields(columns).build().map(Arc::new)
}
