// A weight of 0 removes its class.

fn counts(j: u32) -> bool {
    return (operand(j) & 0x7fffffffu) != 0u;
}
