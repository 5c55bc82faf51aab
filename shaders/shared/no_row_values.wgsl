// Nothing is left of a row beside its elements.

fn write_row_values(row: Finish) {}
