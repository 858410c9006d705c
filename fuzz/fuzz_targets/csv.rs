//! Any bytes as a file for the examples: an error, or a table of finite numbers, which written out is the same table.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../examples/common/table.rs"]
#[expect(dead_code, reason = "the examples read files")]
mod table;

/// The table as a plain file.
fn written(table: &table::Table) -> Vec<u8> {
    let mut to = csv::Writer::from_writer(Vec::new());
    if let Some(names) = &table.header {
        to.write_record(names).expect("written to memory");
    }
    for row in table.rows() {
        to.write_record(row.iter().map(|x| format!("{x:?}"))).expect("written to memory");
    }
    to.into_inner().expect("written to memory")
}

fuzz_target!(|data: &[u8]| {
    let Ok(table) = table::Table::of(data) else { return };
    assert!(table.rows().len() > 0 && table.rows().all(|row| row.iter().all(|x| x.is_finite())));
    let again = table::Table::of(&written(&table)).expect("a table of numbers");
    assert_eq!((&again.header, again.columns), (&table.header, table.columns));
    assert!(again.rows().eq(table.rows()));
});
