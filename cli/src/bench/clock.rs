//! How often and for how long something is timed, and what the times come to.

use std::time::Instant;

/// However fast it is.
const MOST_REPEATS: usize = 5000;

/// However slow it is.
const LEAST_REPEATS: usize = 3;

/// How long one thing is timed.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    pub seconds: f64,
    /// So often, whatever time it takes.
    pub repeats: Option<usize>,
    /// Without warming up.
    pub cold: bool,
}

impl Budget {
    /// Whether so many measurements that took so long together are enough.
    pub fn is_spent(&self, repeats: usize, seconds: f64) -> bool {
        match self.repeats {
            Some(wanted) => repeats >= wanted,
            None if self.cold => repeats >= 1,
            None => {
                let enough = seconds >= self.seconds && repeats >= LEAST_REPEATS;
                enough || repeats >= MOST_REPEATS || (repeats > 0 && seconds >= 10.0 * self.seconds)
            }
        }
    }

    /// Calls `timed`, which tells how many seconds it took, with 0, 1, 2, …: to warm up, then to be measured.
    ///
    /// # Errors
    /// The first of `timed`.
    pub fn measure<E>(&self, mut timed: impl FnMut(usize) -> Result<f64, E>) -> Result<Timing, E> {
        let mut turn = 0;
        let mut once = || {
            turn += 1;
            timed(turn - 1)
        };
        // A second time only where that is quick.
        if !self.cold && once()? < self.seconds {
            once()?;
        }
        let (mut times, mut spent) = (Vec::new(), 0.0);
        while !self.is_spent(times.len(), spent) {
            let time = once()?;
            spent += time;
            times.push(time);
        }
        Ok(Timing::of(times))
    }
}

/// The seconds that `work` takes.
pub fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// What repeated measurements come to, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    pub median: f64,
    pub min: f64,
    /// A quarter of the measurements took less than the first, a quarter more than the second.
    pub quartiles: [f64; 2],
    pub repeats: usize,
}

impl Timing {
    /// Of at least one measurement.
    pub fn of(mut times: Vec<f64>) -> Timing {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (times.len().saturating_sub(1) as f64 * share).round() as usize;
            times.get(place).copied().unwrap_or(f64::NAN)
        };
        Timing { median: at(0.5), min: at(0.0), quartiles: [at(0.25), at(0.75)], repeats: times.len() }
    }
}

impl Timing {
    /// Of so many times as much work.
    pub fn scaled(self, factor: f64) -> Timing {
        let Timing { median, min, quartiles, repeats } = self;
        let quartiles = quartiles.map(|time| factor * time);
        Timing { median: factor * median, min: factor * min, quartiles, repeats }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_spread() {
        let timing = Timing::of(vec![5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(timing, Timing { median: 3.0, min: 1.0, quartiles: [2.0, 4.0], repeats: 5 });
    }

    #[test]
    fn budgets_end() {
        let budget = Budget { seconds: 1.0, repeats: None, cold: false };
        let mut calls = 0;
        let mut count = |seconds: f64| {
            calls = 0;
            let timing = budget.measure(|turn| {
                assert_eq!(turn, calls);
                calls += 1;
                Ok::<f64, ()>(seconds)
            });
            (calls, timing.unwrap().repeats)
        };
        // Two to warm up, four to fill the time.
        assert_eq!(count(0.25), (6, 4));
        // Slower than the time there is: one to warm up, three all the same.
        assert_eq!(count(2.0), (4, 3));
        // Slower by far: one.
        assert_eq!(count(20.0), (2, 1));
        assert_eq!(count(0.0), (MOST_REPEATS + 2, MOST_REPEATS));
    }

    #[test]
    fn the_first_call_alone_or_so_many_calls() {
        let cold = Budget { seconds: 1.0, repeats: None, cold: true };
        assert_eq!(cold.measure(|turn| Ok::<f64, ()>(turn as f64)).unwrap(), Timing::of(vec![0.0]));
        let seven = Budget { repeats: Some(7), ..cold };
        assert_eq!(seven.measure(|_| Ok::<f64, ()>(9.0)).unwrap().repeats, 7);
        assert_eq!(Budget { repeats: Some(1), ..cold }.measure(|_| Err(5)), Err(5));
    }
}
