// What a loss leaves of every row, in the binding of rows' values.

@group(0) @binding(9) var<storage, read_write> row_values: array<u32>;

const UNWANTED: u32 = 0xffffffffu;

fn write_row_values(row: Finish) {
    if parameters.loss.losses_at != UNWANTED {
        row_values[parameters.loss.losses_at + row_index] = loss_result(row);
    }
    if parameters.loss.log_sum_exp_at != UNWANTED {
        row_values[parameters.loss.log_sum_exp_at + row_index] = log_sum_exp_result(row);
    }
    if parameters.loss.label_log_probability_at != UNWANTED {
        row_values[parameters.loss.label_log_probability_at + row_index] = label_log_probability_result(row);
    }
    if parameters.loss.entropy_at != UNWANTED {
        row_values[parameters.loss.entropy_at + row_index] = entropy_result(row);
    }
    if parameters.loss.argmax_at != UNWANTED {
        row_values[parameters.loss.argmax_at + row_index] = select(row.statistics.sum.argmax, 0u, row.statistics.key == 0u);
    }
}
