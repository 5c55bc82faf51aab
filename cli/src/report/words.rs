//! Numbers, shapes and devices in words.

use std::time::Duration;

use crate::device::Identity;

/// Lengths with × between them.
pub fn shape(shape: &[usize]) -> String {
    match shape {
        [] => "one value".into(),
        _ => shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × "),
    }
}

/// Along which axes of how many.
pub fn along(axes: &[usize], rank: usize) -> String {
    match axes {
        _ if axes.len() == rank && rank != 1 => "over the whole array".into(),
        [axis] => format!("along axis {axis}"),
        _ => format!("along axes {}", listed(axes)),
    }
}

/// A device, and why it.
pub fn device(identity: &Identity) -> String {
    let backend = identity.backend.as_ref().map(|backend| format!(" by {backend}")).unwrap_or_default();
    let table = if identity.table.is_some() { ", tuned" } else { "" };
    format!("{}{backend}{table}, because {}", identity.name, identity.why)
}

/// A number of things.
pub fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

pub fn listed(indices: &[usize]) -> String {
    format!("({})", indices.iter().map(usize::to_string).collect::<Vec<_>>().join(", "))
}

/// A number of bytes.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|&(_, unit)| bytes >= unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}

/// A span of time.
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        _ if seconds >= 1.0 => format!("{seconds:.2} s"),
        _ if seconds >= 1e-3 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{:.0} µs", seconds * 1e6),
    }
}

/// Six significant digits.
pub fn significant(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    if !(1e-4..1e6).contains(&magnitude) {
        return format!("{value:.5e}");
    }
    let decimals = (5 - magnitude.log10().floor() as i32).max(0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(significant(0.952_574_13), "0.952574");
        assert_eq!(significant(-12.345_678), "-12.3457");
        assert_eq!(significant(1.0), "1.00000");
        assert_eq!(significant(1.211_754_44e-6), "1.21175e-6");
        assert_eq!(significant(f64::NAN), "NaN");
        assert_eq!(significant(3e38), "3.00000e38");
    }
}
