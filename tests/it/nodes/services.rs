//! Services of two nodes on one database: what one has answered holds on the other. Only with
//! `POSTRIDER_TEST_STORAGE=postgres`. (Storage by itself is tested in `store::nodes`.)

use std::net::IpAddr;
use std::sync::Arc;

use postrider::cluster::LocalSignals;
use postrider::domain::access::app::DEFAULT_APP;
use postrider::domain::{AppId, Role, Scope, Scopes};
use postrider::host::clock::FakeClock;
use postrider::service::people::accounts::{Accounts, KeyInput};
use postrider::service::people::auth::{Auth, Credentials};
use postrider::service::people::sessions::{Client, Sessions};
use postrider::service::{By, Caller, ServiceError};
use postrider::store::Backend;
use postrider::store::location::{Location, Purpose};

use crate::support::app::start_time;
use crate::support::postgres::{Database, is_wanted};

const PASSWORD: &str = "correct horse battery";

/// The services of one node.
struct Node {
    store: Arc<dyn Backend>,
    auth: Auth,
    sessions: Arc<Sessions>,
    accounts: Accounts,
}

impl Node {
    fn new(database: &Database, clock: &Arc<FakeClock>) -> Node {
        let opened = Location::Server(database.server()).open(Purpose::Command, start_time());
        let store = opened.expect("it opens");
        let (signals, _queue) = LocalSignals::new();
        let sessions = Sessions::new(store.clone(), clock.clone(), signals.clone());
        let sessions = Arc::new(sessions.counting_in(store.clone().sign_ins()));
        let prefix = || "prk".to_owned();
        let auth = Auth::new(store.clone(), clock.clone(), prefix(), sessions.clone());
        let accounts = Accounts::new(store.clone(), clock.clone(), signals, prefix());
        Node { store, auth, sessions, accounts }
    }

    async fn sign_in(&self, email: &str, password: &str, last: u8) -> Result<String, ServiceError> {
        let client = Client { address: Some(IpAddr::from([192, 0, 2, last])), user_agent: None };
        let signed_in = self.sessions.sign_in(email, password, client).await?;
        Ok(signed_in.token.as_str().to_owned())
    }

    /// Whether a key is one.
    async fn knows_key(&self, token: &str) -> bool {
        let authorization = format!("Bearer {token}");
        let credentials = Credentials { authorization: Some(&authorization), ..Credentials::default() };
        self.is_let_in(credentials).await
    }

    /// Whether a cookie is that of a session, and what it may do.
    async fn scopes_of(&self, cookie: &str) -> Option<Scopes> {
        let credentials = Credentials { session: Some(cookie), ..Credentials::default() };
        match self.auth.identify(credentials).await {
            Ok(identified) => Some(identified.scopes),
            Err(ServiceError::Unauthorized) => None,
            Err(other) => panic!("{other}"),
        }
    }

    async fn is_let_in(&self, credentials: Credentials<'_>) -> bool {
        match self.auth.identify(credentials).await {
            Ok(_) => true,
            Err(ServiceError::Unauthorized) => false,
            Err(other) => panic!("{other}"),
        }
    }
}

/// Two nodes, and who does things.
struct World {
    one: Node,
    other: Node,
    by: By,
    app: AppId,
    clock: Arc<FakeClock>,
    database: Database,
}

async fn world() -> Option<World> {
    if !is_wanted() {
        return None;
    }
    let (database, clock) = (Database::new(), Arc::new(FakeClock::new(start_time())));
    let (one, other) = (Node::new(&database, &clock), Node::new(&database, &clock));
    let app = one.store.app_find(DEFAULT_APP).await.unwrap().unwrap().id;
    Some(World { one, other, by: By::command_line(), app, clock, database })
}

#[tokio::test]
async fn keys_are_valid_and_end_on_all_nodes_at_once() {
    let Some(World { one, other, by, app, database: _database, .. }) = world().await else { return };
    let caller = Caller { by, app_id: app };
    let scopes: Scopes = [Scope::EventsWrite].into_iter().collect();
    for _ in 0..20 {
        let input = KeyInput { name: "k".to_owned(), scopes, lifetime: None };
        let key = one.accounts.create_key(&caller, input).await.unwrap();
        let token = key.token("prk");
        assert!(other.knows_key(&token).await && one.knows_key(&token).await);
        one.accounts.revoke_key(&caller, &key.key.id).await.unwrap();
        assert!(!other.knows_key(&token).await && !one.knows_key(&token).await);
    }
}

#[tokio::test]
async fn sessions_end_and_roles_change_on_all_nodes_at_once() {
    let Some(World { one, other, by, database: _database, .. }) = world().await else { return };
    let password = || Some(PASSWORD.to_owned());
    one.accounts.create_user(&by, "ada@example.com", Role::Owner, password()).await.unwrap();
    let (eve, _) = one.accounts.create_user(&by, "eve@example.com", Role::Owner, password()).await.unwrap();
    let cookie = other.sign_in("eve@example.com", PASSWORD, 1).await.unwrap();
    assert!(one.scopes_of(&cookie).await.unwrap().allows(Scope::Admin));
    one.accounts.change_user(&by, eve.id, Some(Role::Viewer), None).await.unwrap();
    assert_eq!(other.scopes_of(&cookie).await, None, "who gets another role signs in again");
    let cookie = other.sign_in("eve@example.com", PASSWORD, 1).await.unwrap();
    assert!(!one.scopes_of(&cookie).await.unwrap().allows(Scope::Admin));
    let signed_in = other.auth.identify(Credentials { session: Some(&cookie), ..Credentials::default() });
    let session = signed_in.await.unwrap().session.unwrap();
    other.sessions.sign_out(&session.session, &by).await.unwrap();
    assert_eq!(one.scopes_of(&cookie).await, None);
    one.accounts.change_user(&by, eve.id, None, Some("another horse battery")).await.unwrap();
    assert!(matches!(other.sign_in("eve@example.com", PASSWORD, 1).await, Err(ServiceError::Unauthorized)));
    let cookie = other.sign_in("eve@example.com", "another horse battery", 1).await.unwrap();
    one.accounts.delete_user(&by, eve.id).await.unwrap();
    assert_eq!(other.scopes_of(&cookie).await, None);
}

#[tokio::test]
async fn who_guesses_gains_nothing_by_asking_another_node() {
    let Some(World { one, other, by, clock, database: _database, .. }) = world().await else { return };
    one.accounts.create_user(&by, "ada@example.com", Role::Owner, Some(PASSWORD.to_owned())).await.unwrap();
    let nodes = [&one, &other];
    // Both at the same moment, so that neither knows of the other's try by itself.
    let guess = async |n: usize| {
        let email = format!("user{n}@example.com");
        nodes[n % 2].sign_in(&email, "wrong horse", 7).await
    };
    let tries = futures_util::future::join_all((0..14).map(guess)).await;
    let let_through = tries.iter().filter(|tried| matches!(tried, Err(ServiceError::Unauthorized))).count();
    assert_eq!(let_through, 10, "as many as one node lets through: {tries:?}");
    for node in nodes {
        let refused = node.sign_in("ada@example.com", PASSWORD, 7).await;
        assert!(matches!(refused, Err(ServiceError::RateLimited { retry_after_secs: 6 })), "{refused:?}");
        node.sign_in("ada@example.com", PASSWORD, 8).await.expect("another address is not concerned");
    }
    clock.advance_ms(6_000);
    one.sign_in("ada@example.com", PASSWORD, 7).await.expect("it never lasts");
    other.sign_in("ada@example.com", PASSWORD, 7).await.expect("a right password costs nothing");
    // The guards of an account.
    for n in 0..20_u8 {
        let tried = nodes[usize::from(n % 2)].sign_in("ada@example.com", "wrong horse", 100 + n).await;
        assert!(matches!(tried, Err(ServiceError::Unauthorized)), "{tried:?}");
    }
    let first = one.sign_in("ada@example.com", "wrong horse", 200).await;
    let second = other.sign_in("ada@example.com", "wrong horse", 200).await;
    assert!(matches!(first, Err(ServiceError::Unauthorized)), "{first:?}");
    assert!(matches!(second, Err(ServiceError::RateLimited { retry_after_secs: 30 })), "{second:?}");
    // Who has come from there before has a clock of their own, also on the node that did not see it.
    for n in 0..20 {
        let _ = one.sign_in(&format!("user{n}@example.com"), "wrong horse", 8).await;
    }
    clock.advance_ms(30_000);
    other.sign_in("ada@example.com", PASSWORD, 8).await.expect("a guesser there keeps nobody out");
}
