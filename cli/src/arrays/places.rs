//! Where the elements of a box lie: the places that an odometer over its axes passes.

/// The places of all elements of a box in C order. Each axis, from the outermost, says how many steps it has and how
/// far one leads; `first` is where the first element lies.
pub fn places(first: u64, axes: Vec<(usize, u64)>) -> impl Iterator<Item = u64> {
    let count = axes.iter().map(|&(length, _)| length).product();
    let mut position = vec![0; axes.len()];
    let mut next = first;
    (0..count).map(move |_| {
        let place = next;
        for (digit, &(length, stride)) in position.iter_mut().zip(&axes).rev() {
            *digit += 1;
            next += stride;
            if *digit < length {
                break;
            }
            next -= length as u64 * stride;
            *digit = 0;
        }
        place
    })
}
