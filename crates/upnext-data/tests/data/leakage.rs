//! Nothing of a validation or test event reaches training, whatever the protocol.

use std::collections::BTreeSet;

use upnext_data::{BatchSize, Batches, Histories, Protocol, Question, popularity};

use crate::world;

const PROTOCOLS: [&str; 9] = [
    "loo",
    "last:1",
    "last:2",
    "last:5",
    "last:2,4",
    "time:5,15",
    "time:5,15,all",
    "time:0,40",
    "cold:0.2,1",
];

/// The events, as places among all, that these questions hold out.
fn held_out(histories: &Histories, questions: &[Question]) -> BTreeSet<u32> {
    questions.iter().flat_map(|question| question.held_out(histories).items).map(|item| item.0).collect()
}

#[test]
fn no_held_out_event_is_in_a_training_window() {
    for number in 0..20 {
        let histories = world::histories(number, 30, 25);
        for id in PROTOCOLS {
            let split = id.parse::<Protocol>().unwrap().split(&histories).unwrap();
            let (validation, test) =
                (held_out(&histories, &split.validation), held_out(&histories, &split.test));
            assert!(validation.is_disjoint(&test), "{id}");
            let training = split.training(&histories).unwrap();
            let batches =
                Batches::new(&training.histories, &training.train, 7, BatchSize::Users(4), number).unwrap();
            let batches = batches.looking_ahead(1 + number as usize % 5);
            for epoch in (0..3).map(|epoch| batches.epoch(epoch)) {
                for batch in (0..epoch.len()).map(|index| epoch.batch(index)) {
                    for item in batch.tokens.iter().chain(&batch.targets).chain(&batch.beyond) {
                        assert!(
                            !validation.contains(&item.0) && !test.contains(&item.0),
                            "{id} event {item:?}"
                        );
                        assert!(!split.is_cold(*item), "{id}: cold {item:?}");
                    }
                }
            }
            let counts = popularity::counts(&training.histories, &training.train, histories.events());
            assert_eq!(counts.iter().sum::<u64>() as usize, training.train.iter().sum::<usize>());
            assert!(validation.iter().chain(&test).all(|&event| counts[event as usize] == 0), "{id}");
        }
    }
}

#[test]
fn a_question_sees_only_what_came_before_it() {
    for number in 0..20 {
        let histories = world::histories(number, 30, 25);
        for id in PROTOCOLS {
            let split = id.parse::<Protocol>().unwrap().split(&histories).unwrap();
            for question in split.validation.iter().chain(&split.test) {
                let (input, asked) = (question.input(&histories), question.held_out(&histories));
                assert!(!input.is_empty() && !asked.is_empty());
                assert!(input.items.last() < asked.items.first(), "{id}: the input is a prefix");
                assert!(question.start >= split.train[question.user.index()], "{id}");
            }
            let ordered =
                |questions: &[Question]| questions.is_sorted_by_key(|asked| (asked.user, asked.start));
            assert!(ordered(&split.validation) && ordered(&split.test), "{id}");
        }
    }
}

#[test]
fn nothing_at_or_after_a_cut_reaches_what_is_before_it() {
    for number in 0..20 {
        let histories = world::histories(number, 30, 25);
        let split = "time:5,15".parse::<Protocol>().unwrap().split(&histories).unwrap();
        for ((_, history), &train) in histories.iter().zip(&split.train) {
            assert!(history.times[..train].iter().all(|&at| at < 5));
            assert!(history.times[train..].iter().all(|&at| at >= 5), "all that may train does");
        }
        for question in &split.validation {
            assert!(question.input(&histories).times.iter().all(|&at| at < 5));
            assert!((5..15).contains(&question.held_out(&histories).times[0]));
        }
        for question in &split.test {
            assert!(question.input(&histories).times.iter().all(|&at| at < 15));
            assert!(question.held_out(&histories).times[0] >= 15);
        }
    }
}
