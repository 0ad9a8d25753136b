//! A watched model directory: what is swapped in one step is taken, what is copied file by file never.

use super::*;

/// Waits until the log has this so many times.
async fn until_log(place: &Place, text: &str, times: usize) {
    while place.log().matches(text).count() < times {
        tokio::task::yield_now().await;
    }
}

const HELD: &str = "the model directory has changed in place and is not proposed";

#[tokio::test]
async fn files_that_are_copied_one_by_one_are_never_in_force_as_a_mixture() {
    // Each half of the two fits the other: in between there is a model that nobody wrote.
    let (one, two) = (files("one", "admin, viewer"), files("two", "admin, viewer"));
    let two = [two[0].clone(), ("roles.csv", csv("admin, viewer") + "main,org.delete,x,x\n")];
    let half = [one[0].clone(), two[1].clone()];
    assert_ne!(digest(&half), digest(&one));
    let place = Place::with(&one);
    let service = place.serve(&place.proposing(&["--watch-model"])).await;
    until_log(&place, "each change needs a SIGHUP", 1).await;
    put(&place.model(), &two[1..]);
    until_log(&place, HELD, 1).await;
    assert_eq!(service.model().await.digest, digest(&one));
    put(&place.model(), &two[..1]);
    until_log(&place, HELD, 2).await;
    let model = service.model().await;
    assert_eq!((model.digest, model.revision), (digest(&one), 1));

    // A directory of the same name that is filled anew is no swap either.
    fs::remove_dir_all(place.model()).unwrap();
    fs::create_dir(place.model()).unwrap();
    put(&place.model(), &half);
    until_log(&place, HELD, 3).await;
    put(&place.model(), &two);
    assert_eq!(service.model().await.digest, digest(&one));
    service.signal("-HUP");
    let model = service.until(|model| model.name == "two").await;
    assert_eq!((model.digest, model.revision), (digest(&two), 2));
    service.terminate();
}

#[tokio::test]
async fn a_link_that_leads_to_another_directory_is_taken_and_what_changes_behind_it_is_not() {
    let place = Place::new();
    let root = place.dir.path();
    let (one, two) = (files("one", "admin, viewer"), files("two", "admin, guest"));
    for (name, files) in [("first", &one), ("second", &two)] {
        fs::create_dir(root.join(name)).unwrap();
        put(&root.join(name), files);
    }
    let lead = |to: &str| {
        symlink(to, root.join("next")).unwrap();
        fs::rename(root.join("next"), root.join("current")).unwrap();
    };
    lead("first");
    let current = root.join("current").to_str().unwrap().to_owned();
    let args = ["--model".to_owned(), current, "--watch-model".to_owned()];
    let service = place.serve(&args).await;
    assert_eq!(service.model().await.digest, digest(&one));
    put(&root.join("first"), &files("edited", "admin, viewer"));
    until_log(&place, HELD, 1).await;
    assert!(!place.log().contains("each change needs a SIGHUP"), "{}", place.log());
    assert_eq!(service.model().await.digest, digest(&one));
    lead("second");
    let model = service.until(|model| model.name == "two").await;
    assert_eq!((model.digest, model.revision), (digest(&two), 2));
    service.terminate();
}
