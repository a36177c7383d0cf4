//! Sessions, set-up links, and what ends them.

use super::*;
use crate::support::postgres::is_wanted;
use postrider::domain::access::key::SecretHash;
use postrider::domain::access::session::{IDLE_MS, SETUP_MS};

pub(crate) fn a_user(email: &str, role: Role) -> User {
    let id = UserId::new(now());
    User { id, email: email.to_owned(), role, created_at: now(), last_sign_in_at: None }
}

pub(crate) fn a_session(user: &User, token: &str, at: Timestamp) -> Session {
    Session {
        id: SessionId::new(at),
        user: user.clone(),
        token_hash: SecretHash::of(token),
        address: Some("192.0.2.1".to_owned()),
        user_agent: Some("a browser".to_owned()),
        created_at: at,
        last_seen_at: at,
    }
}

impl World {
    async fn add_user(&self, email: &str, role: Role) -> User {
        let user = a_user(email, role);
        let entry = activity(ActivityKind::UserCreated);
        assert!(self.store.user_insert(user.clone(), "hash".to_owned(), entry).await.unwrap());
        user
    }

    async fn add_session(&self, user: &User, token: &str, at: Timestamp) -> Session {
        let (session, entry) = (a_session(user, token, at), activity(ActivityKind::UserSignedIn));
        assert!(self.store.session_insert(session.clone(), "hash".to_owned(), entry).await.unwrap());
        session
    }

    async fn has_session(&self, token: &str) -> bool {
        self.store.session_get(SecretHash::of(token)).await.unwrap().is_some()
    }
}

#[tokio::test]
async fn a_session_reads_back_with_its_user_as_they_are_now() {
    let world = fresh().await;
    let ada = world.add_user("ada@example.com", Role::Owner).await;
    let session = world.add_session(&ada, "one", now()).await;
    let found = world.store.session_get(SecretHash::of("one")).await.unwrap().unwrap();
    let user = User { last_sign_in_at: Some(now()), ..ada };
    assert_eq!(found, Session { user, ..session.clone() });
    assert!(!world.has_session("two").await);
    for (at, kept) in [(now().plus_ms(9), 9), (now().plus_ms(5), 9)] {
        world.store.session_touch(session.id, at).await.unwrap();
        let found = world.store.session_get(SecretHash::of("one")).await.unwrap().unwrap();
        assert_eq!(found.last_seen_at, now().plus_ms(kept), "the latest use counts");
    }
}

#[tokio::test]
async fn a_sign_in_with_a_password_that_was_just_changed_makes_no_session() {
    let world = fresh().await;
    let ada = world.add_user("ada@example.com", Role::Owner).await;
    let entry = || activity(ActivityKind::UserSignedIn);
    assert!(
        !world.store.session_insert(a_session(&ada, "a", now()), "old".to_owned(), entry()).await.unwrap()
    );
    let nobody = a_user("eve@example.com", Role::Owner);
    assert!(
        !world
            .store
            .session_insert(a_session(&nobody, "a", now()), "hash".to_owned(), entry())
            .await
            .unwrap()
    );
    assert!(!world.has_session("a").await);
}

#[tokio::test]
async fn sessions_that_have_run_out_are_forgotten_at_the_next_sign_in() {
    let world = fresh().await;
    let ada = world.add_user("ada@example.com", Role::Owner).await;
    world.add_session(&ada, "old", now()).await;
    world.add_session(&ada, "younger", now().plus_ms(1)).await;
    world.add_session(&ada, "new", now().plus_ms(IDLE_MS)).await;
    assert!(!world.has_session("old").await && world.has_session("younger").await);
    let tokens: Vec<_> = world.store.session_list(None).await.unwrap().iter().map(|s| s.token_hash).collect();
    assert!(tokens == [SecretHash::of("new"), SecretHash::of("younger")], "newest first");
}

#[tokio::test]
async fn a_new_role_a_new_password_and_deletion_end_sessions() {
    let world = fresh().await;
    let (ada, eve) = (
        world.add_user("ada@example.com", Role::Owner).await,
        world.add_user("eve@example.com", Role::Viewer).await,
    );
    let kept = world.add_session(&eve, "kept", now()).await;
    for token in ["other", "third"] {
        world.add_session(&eve, token, now()).await;
    }
    world.add_session(&ada, "ada", now()).await;
    let entry = || vec![activity(ActivityKind::UserChanged)];
    let change =
        world.store.user_change(eve.id, Some(Role::Admin), None, Some(kept.id), entry()).await.unwrap();
    assert!(matches!(change, UserChange::Done(user) if user.role == Role::Admin));
    assert!(world.has_session("kept").await && !world.has_session("other").await);
    let hash = Some("new".to_owned());
    world.store.user_change(eve.id, None, hash, None, entry()).await.unwrap();
    assert!(!world.has_session("kept").await);
    assert_eq!(world.store.user_get(eve.id).await.unwrap().unwrap().1, "new");
    let deleted = world.store.user_delete(eve.id, activity(ActivityKind::UserDeleted)).await.unwrap();
    assert!(matches!(deleted, UserChange::Done(_)));
    assert_eq!(world.store.user_get(eve.id).await.unwrap(), None);
    let again = world.store.user_delete(eve.id, activity(ActivityKind::UserDeleted)).await.unwrap();
    assert_eq!(again, UserChange::NotFound);

    let entry = || activity(ActivityKind::UserPasswordReset);
    assert!(world.has_session("ada").await);
    assert!(world.store.user_set_password("ada@example.com", "new".to_owned(), entry()).await.unwrap());
    assert!(!world.has_session("ada").await);
}

#[tokio::test]
async fn the_last_owner_stays() {
    let world = fresh().await;
    let ada = world.add_user("ada@example.com", Role::Owner).await;
    world.add_user("eve@example.com", Role::Admin).await;
    world.add_session(&ada, "ada", now()).await;
    let entry = || activity(ActivityKind::UserChanged);
    let lowered =
        world.store.user_change(ada.id, Some(Role::Admin), None, None, vec![entry()]).await.unwrap();
    let deleted = world.store.user_delete(ada.id, entry()).await.unwrap();
    assert_eq!((lowered, deleted), (UserChange::LastOwner, UserChange::LastOwner));
    assert!(world.has_session("ada").await, "what was refused changes nothing");
}

#[tokio::test]
async fn a_session_is_ended_by_those_who_may() {
    let world = fresh().await;
    let (ada, eve) = (
        world.add_user("ada@example.com", Role::Owner).await,
        world.add_user("eve@example.com", Role::Viewer).await,
    );
    let session = world.add_session(&ada, "ada", now()).await;
    let end = |user| world.store.session_end(session.id, user, activity(ActivityKind::SessionRevoked));
    assert!(!end(Some(eve.id)).await.unwrap() && world.has_session("ada").await);
    assert!(end(Some(ada.id)).await.unwrap() && !world.has_session("ada").await);
    assert!(!end(None).await.unwrap());
    assert_eq!(world.store.session_list(Some(eve.id)).await.unwrap(), []);
}

#[tokio::test]
async fn a_setup_link_makes_one_user_and_is_void_when_there_is_one() {
    let world = fresh().await;
    let token = |text: &str| SecretHash::of(text);
    let issue = |text: &str| world.store.setup_issue(SecretHash::of(text), now().plus_ms(SETUP_MS));
    assert!(issue("first").await.unwrap() && issue("second").await.unwrap());
    let is_open = |text, at| world.store.setup_is_open(token(text), at);
    // The first one may be another node's, which has shown it to somebody.
    assert_eq!(is_open("first", now()).await.unwrap(), is_wanted());
    assert!(is_open("second", now()).await.unwrap());
    assert!(!is_open("second", now().plus_ms(SETUP_MS)).await.unwrap());
    let ada = a_user("ada@example.com", Role::Owner);
    let redeem = |text, user: &User| {
        let session = a_session(user, "session", now());
        let entries = vec![activity(ActivityKind::UserCreated)];
        world.store.setup_redeem(token(text), "hash".to_owned(), session, entries)
    };
    assert!(!redeem("other", &ada).await.unwrap());
    assert!(redeem("second", &ada).await.unwrap() && world.has_session("session").await);
    for link in ["first", "second"] {
        assert!(!redeem(link, &a_user("eve@example.com", Role::Owner)).await.unwrap());
    }
    assert!(!issue("third").await.unwrap());

    let world = fresh().await;
    assert!(world.store.setup_issue(token("link"), now().plus_ms(1)).await.unwrap());
    let eve = world.add_user("eve@example.com", Role::Viewer).await;
    assert!(!world.store.setup_is_open(token("link"), now()).await.unwrap());
    world.add_user("ada@example.com", Role::Owner).await;
    world.store.user_delete(eve.id, activity(ActivityKind::UserDeleted)).await.unwrap();
    assert!(!world.store.setup_is_open(token("link"), now()).await.unwrap(), "it stays void");
}
