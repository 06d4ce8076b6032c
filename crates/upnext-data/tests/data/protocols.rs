//! Protocols by hand-worked examples, and how they are written.

use upnext_data::{Error, Histories, ItemId, Protocol, Question, Split, UserId};

use crate::world::{self, chain};

fn one(times: &[i64]) -> Histories {
    let items = (0..times.len() as u32).map(ItemId).collect();
    Histories::new(["ann"].iter().collect(), vec![0, times.len() as u64], items, times.to_vec()).unwrap()
}

/// How many events train, then (start, targets) of the validation and of the test questions.
type Answer<'a> = (usize, &'a [(usize, usize)], &'a [(usize, usize)]);

fn check(id: &str, times: &[i64], (train, validation, test): Answer<'_>) {
    let Split { train: found, cold: _, validation: v, test: t, protocol } =
        id.parse::<Protocol>().unwrap().split(&one(times)).unwrap();
    let asked = |questions: &[(usize, usize)]| -> Vec<Question> {
        questions.iter().map(|&(start, targets)| Question { user: UserId(0), start, targets }).collect()
    };
    assert_eq!((found, v, t), (vec![train], asked(validation), asked(test)), "{id} {times:?}");
    assert_eq!(protocol.to_string(), id);
}

#[test]
fn leave_one_out_holds_two_events_out() {
    check("loo", &[1, 1, 1, 1], (2, &[(2, 1)], &[(3, 1)]));
    check("loo", &[1, 1, 1], (1, &[(1, 1)], &[(2, 1)]));
    check("loo", &[1, 1], (2, &[], &[]));
    check("loo", &[], (0, &[], &[]));
}

#[test]
fn the_last_n_are_asked_only_of_users_with_twice_as_many() {
    check("last:2", &[0; 4], (1, &[(1, 1)], &[(2, 2)]));
    check("last:2", &[0; 3], (3, &[], &[]));
    check("last:3", &[0; 6], (2, &[(2, 1)], &[(3, 3)]));
    check("last:3", &[0; 5], (5, &[], &[]));
    // One event for the test, one for the validation, and one to train on.
    check("last:1", &[0; 3], (1, &[(1, 1)], &[(2, 1)]));
    check("last:1", &[0; 2], (2, &[], &[]));
    check("last:18446744073709551615", &[0; 2], (2, &[], &[]));
    // More events may validate, and none of the test's questions moves for it.
    check("last:2,3", &[0; 7], (2, &[(2, 3)], &[(5, 2)]));
    check("last:2,3", &[0; 4], (1, &[(1, 1)], &[(2, 2)]));
    check("last:2,3", &[0; 3], (3, &[], &[]));
    check("last:1,18446744073709551615", &[0; 5], (2, &[(2, 2)], &[(4, 1)]));
    check("last:1,18446744073709551615", &[0; 3], (1, &[(1, 1)], &[(2, 1)]));
}

#[test]
fn a_cut_lets_nothing_through() {
    check("time:10,20", &[5, 9, 10, 15, 20, 25], (2, &[(2, 1)], &[(4, 1)]));
    check("time:10,20,all", &[5, 9, 10, 15, 20, 25], (2, &[(2, 1), (3, 1)], &[(4, 1), (5, 1)]));
    check("time:10,20", &[5, 20], (1, &[], &[(1, 1)]));
    check("time:10,20", &[5, 19], (1, &[(1, 1)], &[]));
}

#[test]
fn who_has_nothing_before_a_cut_is_not_asked_at_it() {
    check("time:10,20", &[12, 15, 30], (0, &[], &[(2, 1)]));
    check("time:10,20,all", &[20, 21], (0, &[], &[]));
    check("time:-20,-10", &[-30, -15], (1, &[(1, 1)], &[]));
}

#[test]
fn cold_items_are_cut_out_of_training_and_stay_in_what_is_asked() {
    let histories = world::histories(3, 80, 25);
    let items = histories.events();
    let split = "cold:0.25,7".parse::<Protocol>().unwrap().split(&histories).unwrap();
    let cold: Vec<bool> = (0..items as u32).map(|item| split.is_cold(ItemId(item))).collect();
    let drawn = cold.iter().filter(|&&cold| cold).count();
    assert!((items / 5..items * 3 / 10).contains(&drawn), "{drawn} of {items}");
    assert!(!split.is_cold(ItemId(items as u32)), "an item that does not occur was not drawn");
    let training = split.training(&histories).unwrap();
    let (mut left, mut gone) = (0, 0);
    for ((user, history), &train) in histories.iter().zip(&split.train) {
        let kept: Vec<ItemId> =
            history.items[..train].iter().copied().filter(|item| !cold[item.index()]).collect();
        assert_eq!(training.histories.of(user).items, kept);
        assert_eq!(training.train[user.index()], kept.len());
        (left, gone) = (left + kept.len(), gone + train - kept.len());
    }
    assert!(left > 0 && gone > 0);
    let loo = Protocol::LeaveOneOut.split(&histories).unwrap();
    assert_eq!((&split.test, &split.validation), (&loo.test, &loo.validation), "the questions of loo");
    let other = "cold:0.25,8".parse::<Protocol>().unwrap().split(&histories).unwrap();
    assert_ne!(other.cold, split.cold);
    let plain = loo.training(&histories).unwrap();
    assert!(std::ptr::eq(plain.histories.as_ref(), &histories), "nothing is copied without need");
}

#[test]
fn a_question_knows_its_input_and_what_is_held_out() {
    let histories = one(&[1, 2, 3, 4, 5]);
    let question = Question { user: UserId(0), start: 2, targets: 2 };
    assert_eq!(question.input(&histories).times, [1, 2]);
    assert_eq!(question.held_out(&histories).times, [3, 4]);
}

#[test]
fn a_protocol_is_written_as_it_is_read() {
    for id in ["loo", "last:10", "last:10,5", "time:-5,7", "time:0,1,all", "cold:0.1,3", "cold:0.000001,0"] {
        let protocol: Protocol = id.parse().unwrap();
        assert_eq!(protocol.to_string(), id);
        let json = serde_json::to_string(&protocol).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<Protocol>(&json).unwrap(), protocol);
    }
}

#[test]
fn more_events_that_validate_leave_the_test_as_it_is() {
    let histories = world::histories(5, 60, 30);
    let of = |id: &str| id.parse::<Protocol>().unwrap();
    let one = of("last:4").split(&histories).unwrap();
    for id in ["last:4,2", "last:4,4", "last:4,9"] {
        assert_eq!(of(id).split(&histories).unwrap().test, one.test);
        assert!(of(id).tests_as(&one.protocol) && one.protocol.tests_as(&of(id)));
        assert!(!of(id).tests_as(&of("last:3,4")) && !of(id).tests_as(&of("loo")));
    }
    assert!(!of("cold:0.1,1").tests_as(&of("cold:0.1,2")));
    let ids = ["loo", "last:1", "last:1,5", "last:2", "time:5,15", "time:6,15", "time:5,16", "time:5,15,all"];
    let mut alike = 0;
    for (one, other) in ids.iter().flat_map(|one| ids.map(|other| (of(one), of(other)))) {
        let same = one.split(&histories).unwrap().test == other.split(&histories).unwrap().test;
        assert_eq!(one.tests_as(&other), same, "{one} and {other}");
        alike += usize::from(same);
    }
    assert_eq!(alike, 9 + 1 + 4 + 1 + 1);
}

#[test]
fn splits_say_what_another_has_met() {
    let histories = one(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let of = |id: &str| id.parse::<Protocol>().unwrap().split(&histories).unwrap();
    let start = |question: Option<Question>| question.map(|question| question.start);
    // last:2,3 trains on four events and validates by three.
    assert_eq!(start(of("last:2,4").trained_on_by(&of("last:2,3"))), Some(3));
    assert_eq!(start(of("last:2,1").trained_on_by(&of("last:2,3"))), None);
    assert_eq!(start(of("last:3").validated_by(&of("last:2,3"))), Some(6));
    assert_eq!(start(of("last:2").validated_by(&of("last:2,3"))), None);
}

#[test]
fn a_misspelt_protocol_names_the_nearest_valid_form() {
    let check = |id: &str, expected: &str| {
        let error = id.parse::<Protocol>().unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }));
        assert_eq!(chain(&error), format!("protocol {id:?}: the nearest valid form is {expected}"));
    };
    let time = "time:<validation>,<test>[,all] (Unix times)";
    check("lo", "loo: there is no protocol \"lo\"; known are loo, time, last and cold");
    check("leave-one-out", "loo: there is no protocol \"leave-one-out\"; known are loo, time, last and cold");
    check("lats:5", "last:<n>[,<m>]: there is no protocol \"lats\"; known are loo, time, last and cold");
    check("", "loo: there is no protocol \"\"; known are loo, time, last and cold");
    check("loo:1", "loo: it does not take 1 parts after the colon");
    check("last", "last:<n>[,<m>]: it does not take 0 parts after the colon");
    check("time:5", &format!("{time}: it does not take 1 parts after the colon"));
    check("time:1,2,some", &format!("{time}: it does not take 3 parts after the colon"));
    check("time:20,10", &format!("{time}: the validation cut 20 is not before the test cut 10"));
    check("last:0", "last:<n>[,<m>]: at least one event must be held out");
    check("last:3,0", "last:<n>[,<m>]: at least one event must be held out");
    let number = "\"x\" is no whole number that fits: invalid digit found in string";
    check("last:x", &format!("last:<n>[,<m>]: {number}"));
    check("last:3,x", &format!("last:<n>[,<m>]: {number}"));
    check("time:1,x", &format!("{time}: {number}"));
    let cold = "cold:<fraction>,<seed>";
    for wrong in ["0", "1", "-0.1", "NaN", "0.1234567"] {
        let need = "is no fraction between 0 and 1 (both excluded, up to six digits after the point)";
        check(&format!("cold:{wrong},1"), &format!("{cold}: {wrong:?} {need}"));
    }
    check("cold:0.1", &format!("{cold}: it does not take 1 parts after the colon"));
    check("cold:0.1,x", &format!("{cold}: {number}"));
}

#[test]
fn a_protocol_made_by_hand_is_checked_before_it_splits() {
    let error = Protocol::Time { validation: 2, test: 2, all_targets: false }.split(&one(&[1])).unwrap_err();
    assert!(chain(&error).ends_with("the validation cut 2 is not before the test cut 2"));
    assert!(Protocol::Last { n: 0, m: 1 }.split(&one(&[1])).is_err());
}
