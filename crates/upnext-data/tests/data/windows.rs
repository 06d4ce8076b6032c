//! `window::of` against its definition.

use upnext_data::Error;
use upnext_data::window::{Window, of};

#[test]
fn the_window_is_its_definition_at_every_length() {
    for window in 1..40 {
        let hop = (window / 4).max(1);
        for reserve in 0..=window / 2 {
            let checked = Window::new(window, reserve).unwrap();
            let mut before = 0;
            for len in 0..=3 * window {
                let seen = of(len, window, reserve);
                let start = (0..).step_by(hop).find(|start| len <= start + window - reserve).unwrap();
                assert_eq!(seen, start..len, "window {window}, reserve {reserve}, length {len}");
                assert_eq!(checked.of(len), seen);
                assert!(seen.start >= before, "the start never moves back");
                assert!(len == 0 || !seen.is_empty(), "the last event is always seen");
                before = seen.start;
            }
        }
    }
}

#[test]
fn a_growing_history_keeps_its_start_for_a_hop() {
    let starts: Vec<usize> = (200..=302).map(|len| of(len, 200, 0).start).collect();
    assert_eq!(starts[0], 0);
    assert!(starts[1..=50].iter().all(|&start| start == 50));
    assert!(starts[51..=100].iter().all(|&start| start == 100));
    assert_eq!(starts[101], 150);
}

#[test]
fn a_reserve_beyond_half_the_window_is_refused() {
    for (window, reserve) in [(0, 0), (1, 1), (10, 6), (usize::MAX, usize::MAX)] {
        let error = Window::new(window, reserve).unwrap_err();
        assert!(matches!(error, Error::Reserve { window: w, reserve: r } if (w, r) == (window, reserve)));
    }
}

#[test]
fn extreme_lengths_do_not_overflow() {
    assert!(of(usize::MAX, 200, 9).len() <= 191);
    assert!(of(usize::MAX, 1, 0).len() <= 1);
    assert_eq!(of(5, usize::MAX, 0), 0..5);
    assert!(of(5, 0, 0).is_empty());
    assert!(of(5, 3, 7).is_empty());
}
