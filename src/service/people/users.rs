//! People: making, listing, passwords.
//!
//! Passwords are hashed with argon2id. A hash takes some 20 ms and 19 MiB, so it is made on a thread
//! for blocking work and only two at a time: a flood of sign-ins waits instead of taking the memory.
//!
//! The same password can be different bytes on two devices: an é is one character or two. So passwords are
//! hashed in Unicode's form NFC. Hashes from before that stay good for the bytes they were made of.

use std::borrow::Cow;
use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use icu_normalizer::ComposingNormalizerBorrowed;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::domain::access::user::{PASSWORD_MIN_CHARS, Role, User, normal_email};
use crate::domain::{ActivityKind, FieldError, Timestamp, UserId};
use crate::service::By;
use crate::store::{StoreError, UserStore};

/// The longest password, in bytes; far beyond what anybody types.
pub const PASSWORD_MAX_BYTES: usize = 1_024;
/// 32 characters that cannot be taken for each other.
const READABLE: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
static HASHING: Semaphore = Semaphore::const_new(2);

/// Why a user was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("{0:?} is not an e-mail address")]
    BadEmail(String),
    #[error("a password has {PASSWORD_MIN_CHARS} characters or more, and at most {PASSWORD_MAX_BYTES} bytes")]
    BadPassword,
    #[error("there is a user {0} already; `postrider user reset-password` gives them a new password")]
    EmailTaken(String),
    #[error("there is no user {0}; `postrider user list` shows all")]
    NotFound(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a user.
pub async fn create<S>(
    store: &S,
    email: &str,
    role: Role,
    password: &str,
    by: &By,
    now: Timestamp,
) -> Result<User, UserError>
where
    S: UserStore + ?Sized,
{
    let email = normal_email(email).ok_or_else(|| UserError::BadEmail(email.to_owned()))?;
    check_password(password)?;
    let user =
        User { id: UserId::new(now), email: email.clone(), role, created_at: now, last_sign_in_at: None };
    let summary = format!("User {email} was created with the role {role}");
    let details = json!({ "email": email, "role": role.as_str() });
    let activity = by.activity(ActivityKind::UserCreated, None, summary, details, now);
    if store.user_insert(user.clone(), hash(password).await, activity).await? {
        Ok(user)
    } else {
        Err(UserError::EmailTaken(email))
    }
}

/// All users by address.
pub async fn list<S: UserStore + ?Sized>(store: &S) -> Result<Vec<User>, UserError> {
    Ok(store.user_list().await?)
}

/// Gives a user a new password.
pub async fn reset_password<S>(
    store: &S,
    email: &str,
    password: &str,
    by: &By,
    now: Timestamp,
) -> Result<(), UserError>
where
    S: UserStore + ?Sized,
{
    let email = normal_email(email).ok_or_else(|| UserError::BadEmail(email.to_owned()))?;
    check_password(password)?;
    let summary = format!("The password of {email} was reset");
    let details = json!({ "email": email });
    let activity = by.activity(ActivityKind::UserPasswordReset, None, summary, details, now);
    if store.user_set_password(&email, hash(password).await, activity).await? {
        Ok(())
    } else {
        Err(UserError::NotFound(email))
    }
}

/// The user with this address and password, and the password's hash; `None` when one of them is wrong,
/// which takes as long for an address that nobody has.
pub async fn sign_in<S>(store: &S, email: &str, password: &str) -> Result<Option<(User, String)>, UserError>
where
    S: UserStore + ?Sized,
{
    let found = match normal_email(email) {
        Some(email) => store.user_find(&email).await?,
        None => None,
    };
    let right = verify(password, found.as_ref().map(|(_, hash)| hash.clone())).await;
    Ok(found.filter(|_| right))
}

/// A password that nobody guesses and that can be read out: 20 characters, 100 random bits.
pub fn generate_password() -> String {
    let mut bytes = [0u8; 20];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    // 256 is a multiple of 32, so each character is as likely as any other.
    let characters: Vec<char> = bytes.iter().map(|b| char::from(READABLE[usize::from(b % 32)])).collect();
    let groups: Vec<String> = characters.chunks(5).map(|group| group.iter().collect()).collect();
    groups.join("-")
}

/// What is wrong with the fields `email` and `password`, as far as they are given.
pub(crate) fn problems(email: Option<&str>, password: Option<&str>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if email.is_some_and(|email| normal_email(email).is_none()) {
        errors.push(FieldError::new("/email", "must be an e-mail address"));
    }
    if password.is_some_and(|password| check_password(password).is_err()) {
        let wanted = format!(
            "must have {PASSWORD_MIN_CHARS} characters or more, and at most {PASSWORD_MAX_BYTES} bytes"
        );
        errors.push(FieldError::new("/password", wanted));
    }
    errors
}

fn check_password(password: &str) -> Result<(), UserError> {
    let fits = password.chars().count() >= PASSWORD_MIN_CHARS && password.len() <= PASSWORD_MAX_BYTES;
    if fits { Ok(()) } else { Err(UserError::BadPassword) }
}

pub(crate) async fn hash(password: &str) -> String {
    let password = password.to_owned();
    on_hashing_thread(move || hash_now(&password)).await
}

pub(crate) async fn verify(password: &str, hash: Option<String>) -> bool {
    if password.len() > PASSWORD_MAX_BYTES {
        return false;
    }
    let password = password.to_owned();
    on_hashing_thread(move || match hash {
        Some(hash) => matches(&password, &hash),
        None => {
            /// What an unknown address is checked against.
            static NOBODYS: LazyLock<String> = LazyLock::new(|| hash_now(&generate_password()));
            matches(&password, &NOBODYS);
            false
        }
    })
    .await
}

async fn on_hashing_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let _turn = HASHING.acquire().await.expect("this semaphore is never closed");
    tokio::task::spawn_blocking(work).await.expect("hashing does not panic and is not aborted")
}

fn normalized(password: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(password)
}

fn hash_now(password: &str) -> String {
    let password = normalized(password);
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .expect("fails only for passwords of gigabytes or without randomness");
    hash.to_string()
}

fn matches(password: &str, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    let fits = |password: &str| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok();
    let normalized = normalized(password);
    // Both are tried in any case, so that the time says nothing about which one fits.
    let as_typed = normalized != password && fits(password);
    fits(&normalized) || as_typed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::store::Backend;
    use crate::store::location::{Location, Purpose};

    const PASSWORD: &str = "correct horse";

    fn now() -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    async fn store_with_ada() -> (tempfile::TempDir, Arc<dyn Backend>) {
        let dir = tempfile::tempdir().unwrap();
        let store = Location::File(dir.path().join("p.db")).open(Purpose::Command, now()).unwrap();
        create(&*store, "Ada@Example.com", Role::Owner, PASSWORD, &By::command_line(), now()).await.unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn a_user_signs_in_with_the_right_password_only() {
        let (_dir, store) = store_with_ada().await;
        let (user, _) = sign_in(&*store, " ada@example.COM", PASSWORD).await.unwrap().unwrap();
        assert_eq!((user.email.as_str(), user.role), ("ada@example.com", Role::Owner));
        for (email, password) in [("ada@example.com", "wrong"), ("bob@example.com", PASSWORD), ("", PASSWORD)]
        {
            assert_eq!(sign_in(&*store, email, password).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn a_reset_replaces_the_password() {
        let (_dir, store) = store_with_ada().await;
        let by = By::command_line();
        reset_password(&*store, "ada@example.com", "another one", &by, now()).await.unwrap();
        assert_eq!(sign_in(&*store, "ada@example.com", PASSWORD).await.unwrap(), None);
        assert!(sign_in(&*store, "ada@example.com", "another one").await.unwrap().is_some());
        let missing = reset_password(&*store, "bob@example.com", PASSWORD, &by, now()).await;
        assert!(matches!(missing, Err(UserError::NotFound(_))));
    }

    #[tokio::test]
    async fn passwords_are_kept_as_argon2id_and_never_in_the_activity_log() {
        let (_dir, store) = store_with_ada().await;
        let (_, hash) = store.user_find("ada@example.com").await.unwrap().unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        let activity = store.activity_recent(10).await.unwrap();
        assert!(!activity.is_empty() && !format!("{activity:?}").contains(PASSWORD));
    }

    #[tokio::test]
    async fn weak_passwords_and_odd_addresses_are_refused() {
        let (_dir, store) = store_with_ada().await;
        let by = By::command_line();
        let try_with = async |email: &str, password: &str| {
            create(&*store, email, Role::Viewer, password, &by, now()).await
        };
        assert!(matches!(try_with("bob@example.com", "short").await, Err(UserError::BadPassword)));
        assert!(matches!(try_with("bob@example.com", &"x".repeat(1_025)).await, Err(UserError::BadPassword)));
        assert!(matches!(try_with("bob", PASSWORD).await, Err(UserError::BadEmail(_))));
        assert!(matches!(try_with("ADA@example.com", PASSWORD).await, Err(UserError::EmailTaken(_))));
    }

    #[tokio::test]
    async fn a_password_is_the_same_in_whatever_form_a_device_sends_its_letters() {
        let dir = tempfile::tempdir().unwrap();
        let store = Location::File(dir.path().join("p.db")).open(Purpose::Command, now()).unwrap();
        let (composed, decomposed) = ("caf\u{e9} au lait", "cafe\u{301} au lait");
        create(&*store, "ada@example.com", Role::Owner, decomposed, &By::command_line(), now())
            .await
            .unwrap();
        for password in [composed, decomposed] {
            assert!(sign_in(&*store, "ada@example.com", password).await.unwrap().is_some(), "{password:?}");
        }
        assert_eq!(sign_in(&*store, "ada@example.com", "cafe au lait").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_hash_from_before_passwords_were_normalized_is_good_for_its_own_bytes() {
        let decomposed = "cafe\u{301} au lait";
        let old: PasswordHash = Argon2::default().hash_password(decomposed.as_bytes()).unwrap();
        assert!(verify(decomposed, Some(old.to_string())).await);
        assert!(!verify("cafe au lait", Some(old.to_string())).await);
    }

    #[test]
    fn generated_passwords_differ_and_are_long_enough() {
        let (one, other) = (generate_password(), generate_password());
        assert!(one != other && check_password(&one).is_ok() && one.len() == 23, "{one}");
    }
}
