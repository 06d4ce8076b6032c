//! Nothing that was named is passed over in silence: no file, no row, no column, no byte.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::ops::ControlFlow;
use std::path::PathBuf;

use upnext_tables::{PrepareOptions, read};

use support::{histories, options, write};

#[test]
fn an_item_file_brings_no_event_back() {
    let dir = tempfile::tempdir().unwrap();
    let events = write(dir.path(), "e.csv", "user_id,item_id,timestamp\na,x,1\na,y,2\nb,x,1\nb,y,2\nc,w,1\n");
    let items = write(dir.path(), "i.csv", "item_id,title\nx,X\ny,Y\nw,W\nz,Z\n");
    let core = PrepareOptions { min_item_events: 2, min_user_events: 2, ..options(&[&events]) };
    let named = PrepareOptions { items: Some(items), all_items: true, ..core.clone() };
    let (plain, all) = (histories(&core), histories(&named));
    assert_eq!((plain.users(), all.users()), (2, 2));
    assert_eq!((plain.events(), all.events()), (4, 4));
    let (catalog, _) =
        read(&named, &mut |_| ControlFlow::Continue(())).map(|(catalog, rest, ..)| (catalog, rest)).unwrap();
    assert_eq!(catalog.keys().iter().collect::<Vec<_>>(), ["w", "x", "y", "z"]);
}

#[test]
fn a_column_may_be_asked_for_twice_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let rows = [("a", "x", 1, 5), ("a", "y", 2, 3), ("b", "x", 1, 4), ("b", "z", 2, 2)];
    let csv: String =
        rows.iter().map(|(user, item, time, stars)| format!("{user},{item},{time},{stars}\n")).collect();
    let csv = write(dir.path(), "e.csv", format!("user_id,item_id,timestamp,rating\n{csv}"));
    let object = |(user, item, time, stars): &(&str, &str, i32, i32)| {
        format!("{{\"user_id\":\"{user}\",\"item_id\":\"{item}\",\"timestamp\":{time},\"rating\":{stars}}}\n")
    };
    let jsonl = write(dir.path(), "e.jsonl", rows.iter().map(object).collect::<String>());
    let ask = |path: &PathBuf| PrepareOptions {
        keep: ["rating >= 3", "rating <= 4"].map(|text| text.parse().unwrap()).to_vec(),
        event_columns: vec!["rating".parse().unwrap()],
        ..options(&[path])
    };
    let (one, other) = (histories(&ask(&csv)), histories(&ask(&jsonl)));
    assert_eq!((one.events(), &one), (2, &other));
}

#[test]
fn a_catalogue_has_the_columns_of_all_its_items() {
    let dir = tempfile::tempdir().unwrap();
    let events = write(dir.path(), "e.csv", "user_id,item_id,timestamp\na,late,1\na,early,2\n");
    let filler: String =
        (0..4000).map(|item| format!("{{\"item_id\":\"i{item}\",\"title\":\"T\"}}\n")).collect();
    let late = "{\"item_id\":\"late\",\"title\":\"Late\",\"genres\":[\"Crime\",\"Drama\"]}\n";
    let items = write(dir.path(), "i.jsonl", format!("{{\"item_id\":\"early\"}}\n{filler}{late}"));
    let asked = PrepareOptions { items: Some(items), ..options(&[&events]) };
    let (catalog, ..) = read(&asked, &mut |_| ControlFlow::Continue(())).unwrap();
    let genres = catalog.column("genres").unwrap();
    assert_eq!(genres.values.iter().collect::<Vec<_>>(), ["", "Crime|Drama"]);
}

#[test]
fn what_a_folder_or_a_pattern_would_pass_over_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("logs");
    std::fs::create_dir_all(folder.join("2024")).unwrap();
    write(&folder, "a.csv", "user_id,item_id,timestamp\na,x,1\n");
    let refused =
        |path: PathBuf| read(&options(&[&path]), &mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    let error = refused(folder.clone());
    assert!(error.contains("2024: is a folder within"), "{error}");
    std::fs::remove_dir(folder.join("2024")).unwrap();
    assert_eq!(histories(&options(&[&folder])).events(), 1);
    #[cfg(unix)]
    for path in [folder.clone(), folder.join("*.csv")] {
        std::os::unix::fs::symlink("nowhere", folder.join("b.csv")).unwrap();
        let error = refused(path);
        assert!(error.contains("b.csv: cannot be read"), "{error}");
        std::fs::remove_file(folder.join("b.csv")).unwrap();
    }
}

#[test]
fn what_asks_for_times_is_refused_where_there_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let text = write(dir.path(), "e.txt", "1 10\n1 20\n2 10\n");
    let asked = PrepareOptions { from: Some("2020-01-01".parse().unwrap()), ..options(&[&text]) };
    let error = read(&asked, &mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(error.contains("says no times, and --from asks for them"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_from_its_first_byte() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("e.txt");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, "1 10\n1 20\n2 10\n").unwrap()
    });
    let asked = PrepareOptions { memory_limit: Some(1 << 28), ..options(&[&pipe]) };
    let read = histories(&asked);
    writer.join().unwrap();
    assert_eq!((read.users(), read.events()), (2, 3));
}
