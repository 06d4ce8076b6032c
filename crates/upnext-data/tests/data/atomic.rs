//! A folder appears whole or not at all, and leftovers of crashes go.

use std::fs::{self, File};
use std::path::Path;

use upnext_data::sealed::{recover, write_bytes, write_folder};
use upnext_data::{Error, Prepared};

use crate::world;

fn write(dir: &Path, overwrite: bool, text: &str) -> Result<(), Error> {
    write_folder(
        dir,
        overwrite,
        |name| ["manifest.json", "deeper"].contains(&name),
        |temp| {
            write_bytes(&temp.join("manifest.json"), text.as_bytes())?;
            fs::create_dir(temp.join("deeper")).unwrap();
            write_bytes(&temp.join("deeper/x"), b"x").map(|_| ())
        },
    )
}

fn text(dir: &Path) -> String {
    fs::read_to_string(dir.join("manifest.json")).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_is_written_with_its_parents_and_nothing_is_left_beside_it() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("a/b/data");
    write(&dir, false, "1").unwrap();
    assert_eq!((text(&dir), names(dir.parent().unwrap())), ("1".to_owned(), vec!["data".to_owned()]));
    assert_eq!(names(&dir), ["deeper", "manifest.json"]);
}

#[test]
fn an_existing_folder_stays_unless_it_may_be_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    write(&dir, false, "1").unwrap();
    assert!(matches!(write(&dir, false, "2").unwrap_err(), Error::Exists { .. }));
    assert_eq!(text(&dir), "1");
    write(&dir, true, "2").unwrap();
    assert_eq!((text(&dir), names(home.path())), ("2".to_owned(), vec!["data".to_owned()]));
}

#[test]
fn overwriting_spares_what_is_not_ours() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    fs::create_dir(&dir).unwrap();
    write(&dir, true, "into an empty folder").unwrap();
    let other = home.path().join("thesis");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.tex"), "ten years").unwrap();
    let foreign = |dir: &Path| write(dir, true, "1").unwrap_err().to_string();
    assert!(foreign(&other).contains("holds \"thesis.tex\", which is no part"), "{}", foreign(&other));
    // Nor does a manifest make everything beside it ours.
    fs::write(dir.join("notes.txt"), "keep me").unwrap();
    assert!(foreign(&dir).contains("notes.txt"));
    assert_eq!(text(&dir), "into an empty folder");
    fs::remove_file(dir.join("notes.txt")).unwrap();
    write(&dir, true, "again").unwrap();
    fs::remove_file(dir.join("manifest.json")).unwrap();
    assert!(matches!(write(&dir, true, "1").unwrap_err(), Error::NotOurs { .. }));
    assert_eq!(fs::read_to_string(other.join("thesis.tex")).unwrap(), "ten years");
    let file = home.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(matches!(write(&file, true, "1").unwrap_err(), Error::NotOurs { .. }));
    assert!(matches!(write(Path::new("/"), true, "1").unwrap_err(), Error::NoName { .. }));
}

#[test]
fn a_failure_leaves_the_old_folder_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    write(&dir, false, "1").unwrap();
    let failed: Result<(), Error> = write_folder(
        &dir,
        true,
        |_| true,
        |temp| {
            write_bytes(&temp.join("manifest.json"), b"half")?;
            write_bytes(&temp.join("no/such/folder"), b"").map(|_| ())
        },
    );
    assert!(matches!(failed.unwrap_err(), Error::Io { action: "creating", .. }));
    assert_eq!((text(&dir), names(home.path())), ("1".to_owned(), vec!["data".to_owned()]));
}

#[test]
fn leftovers_of_a_crash_are_cleaned_but_not_what_somebody_works_on() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    for name in [".data.upnext-new-1-0", ".data.upnext-new-2-0", ".data2.upnext-new-1-0"] {
        fs::create_dir(home.path().join(name)).unwrap();
        fs::write(home.path().join(name).join("x"), "x").unwrap();
    }
    let worked_on = File::open(home.path().join(".data.upnext-new-2-0")).unwrap();
    worked_on.lock().unwrap();
    write(&dir, false, "1").unwrap();
    assert_eq!(names(home.path()), [".data.upnext-new-2-0", ".data2.upnext-new-1-0", "data"]);
    drop(worked_on);
    write(&dir, true, "2").unwrap();
    assert_eq!(names(home.path()), [".data2.upnext-new-1-0", "data"]);
}

#[test]
fn a_crash_between_the_two_renames_gives_the_old_folder_back() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let prepared = world::prepared(&dir);
    fs::rename(&dir, home.path().join(".data.upnext-old-1-0")).unwrap();
    fs::create_dir(home.path().join(".data.upnext-new-1-1")).unwrap();
    assert_eq!(Prepared::open(&dir).unwrap().histories, prepared.histories);
    assert_eq!(names(home.path()), ["data"]);
    // The other order of events: the new folder was in place already.
    fs::create_dir(home.path().join(".data.upnext-old-1-2")).unwrap();
    assert!(recover(&dir).unwrap());
    assert_eq!(names(home.path()), ["data"]);
    assert!(!recover(&home.path().join("other")).unwrap());
}

#[cfg(unix)]
#[test]
fn modes_follow_the_umask_and_links_are_followed() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let (dir, link) = (home.path().join("data"), home.path().join("link"));
    world::prepared(&dir);
    fs::write(home.path().join("plain"), "").unwrap();
    fs::create_dir(home.path().join("folder")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    for name in names(&dir) {
        assert_eq!(mode(&dir.join(name)), mode(&home.path().join("plain")));
    }
    assert_eq!(mode(&dir), mode(&home.path().join("folder")));
    fs::remove_dir_all(&dir).unwrap();
    write(&dir, false, "1").unwrap();
    std::os::unix::fs::symlink(&dir, &link).unwrap();
    write(&link, true, "through the link").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(text(&dir), "through the link");
}
