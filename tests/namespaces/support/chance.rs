//! How many packets a network may lose by chance.

/// How likely it is that a correct program exceeds each bound by chance. The bounds are those of
/// the binomial distribution at this probability.
const CHANCE: f64 = 1e-7;

/// Returns the fewest and the most of `targets` that chance may affect, each with that probability.
pub(crate) fn bounds(targets: usize, probability: f64) -> (usize, usize) {
    let number = |count| f64::from(u32::try_from(count).expect("thousands"));
    // Terms of the binomial distribution, each computed from the one before. Logarithms are used
    // because the first is almost zero.
    let odds = (probability / (1.0 - probability)).ln();
    let mut term = number(targets) * (1.0 - probability).ln();
    let mut below = 0.0;
    let mut least = None;
    for count in 0..targets {
        below += term.exp();
        if below > CHANCE && least.is_none() {
            least = Some(count);
        }
        if 1.0 - below < CHANCE {
            return (least.expect("found before"), count);
        }
        term += odds + (number(targets - count) / number(count + 1)).ln();
    }
    panic!("some count is never exceeded")
}
