// Every class counts that is not masked.

fn counts(j: u32) -> bool {
    return true;
}
