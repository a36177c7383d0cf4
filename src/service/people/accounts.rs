//! Users, apps and keys, as signed-in users (and keys with scope `admin`) manage them.
//!
//! The rules are those of [`crate::service::people::users`], [`crate::service::people::apps`] and
//! [`crate::service::people::keys`], which the command line uses as well; here their errors become those of
//! an API, and it is seen to that nobody hands out, or takes from others, more than they have.

use std::sync::Arc;

use serde_json::json;

use crate::cluster::Signals;
use crate::domain::access::app::DEFAULT_APP;
use crate::domain::access::user::PASSWORD_MIN_CHARS;
use crate::domain::{
    Activity, ActivityKind, Actor, App, AppId, Invalid, Key, Role, Scopes, Span, Timestamp, User, UserId,
};
use crate::host::clock::Clock;
use crate::service::people::apps::AppError;
use crate::service::people::keys::{CreatedKey, KeyError, NewKey};
use crate::service::people::users::{PASSWORD_MAX_BYTES, UserError};
use crate::service::people::{apps, keys, users};
use crate::service::{By, Caller, Kind, Result, ServiceError};
use crate::store::{AppRenamed, Store, UserChange};

/// The use cases of accounts.
pub struct Accounts {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    signals: Arc<dyn Signals>,
    prefix: String,
}

/// A key that is asked for, of the caller's app.
#[derive(Debug, Clone)]
pub struct KeyInput {
    pub name: String,
    pub scopes: Scopes,
    /// How long it works; `None`: until it is revoked.
    pub lifetime: Option<Span>,
}

impl Accounts {
    /// `prefix` is the configured `auth.key_prefix`.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        signals: Arc<dyn Signals>,
        prefix: String,
    ) -> Accounts {
        Accounts { store, clock, signals, prefix }
    }

    /// What keys begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    // ------------------------------------------------------------------------------------- people

    /// All users by address.
    pub async fn users(&self) -> Result<Vec<User>> {
        Ok(self.store.user_list().await?)
    }

    /// Makes a user. Without a password one is made, which is given once.
    pub async fn create_user(
        &self,
        by: &By,
        email: &str,
        role: Role,
        password: Option<String>,
    ) -> Result<(User, Option<String>)> {
        let errors = users::problems(Some(email), password.as_deref());
        if !errors.is_empty() {
            return Err(Invalid(errors).into());
        }
        let made = if password.is_none() { Some(users::generate_password()) } else { None };
        let password = password.as_deref().or(made.as_deref()).unwrap_or_default();
        let user = users::create(&*self.store, email, role, password, by, self.clock.now()).await;
        Ok((user.map_err(of_user)?, made))
    }

    /// Gives somebody another role or password; their sessions end.
    pub async fn change_user(
        &self,
        by: &By,
        id: UserId,
        role: Option<Role>,
        password: Option<&str>,
    ) -> Result<User> {
        let errors = users::problems(None, password);
        if !errors.is_empty() {
            return Err(Invalid(errors).into());
        }
        let (user, _) = self.store.user_get(id).await?.ok_or(ServiceError::NotFound(Kind::User))?;
        let role = role.filter(|role| *role != user.role);
        if role.is_none() && password.is_none() {
            return Ok(user);
        }
        let now = self.clock.now();
        let mut activity = Vec::new();
        if let Some(role) = role {
            activity.push(role_changed(by, &user, role, now));
        }
        let mut hash = None;
        if let Some(password) = password {
            let summary = format!("User {} was given a new password", user.email);
            let details = json!({ "email": user.email });
            activity.push(by.activity(ActivityKind::UserPasswordReset, None, summary, details, now));
            hash = Some(users::hash(password).await);
        }
        let user = changed(self.store.user_change(id, role, hash, None, activity).await?)?;
        self.signals.access_changed();
        Ok(user)
    }

    /// Deletes somebody else.
    pub async fn delete_user(&self, by: &By, id: UserId) -> Result<()> {
        let (user, _) = self.store.user_get(id).await?.ok_or(ServiceError::NotFound(Kind::User))?;
        if by.actor == Actor::User(user.email.clone()) {
            let why = "You cannot delete yourself; another owner can.";
            return Err(ServiceError::Conflict(why.to_owned()));
        }
        let summary = format!("User {} was deleted", user.email);
        let details = json!({ "email": user.email, "role": user.role.as_str() });
        let activity = by.activity(ActivityKind::UserDeleted, None, summary, details, self.clock.now());
        changed(self.store.user_delete(id, activity).await?)?;
        self.signals.access_changed();
        Ok(())
    }

    // --------------------------------------------------------------------------------------- apps

    /// All apps by name.
    pub async fn apps(&self) -> Result<Vec<App>> {
        Ok(self.store.app_list().await?)
    }

    /// Makes an app.
    pub async fn create_app(&self, by: &By, name: &str) -> Result<App> {
        apps::create(&*self.store, name, by, self.clock.now()).await.map_err(of_app)
    }

    /// Gives an app another name.
    pub async fn rename_app(&self, by: &By, id: AppId, name: &str) -> Result<App> {
        let app = self.store.app_get(id).await?.ok_or(ServiceError::NotFound(Kind::App))?;
        apps::check(name).map_err(of_app)?;
        if app.name == name {
            return Ok(app);
        }
        if app.name == DEFAULT_APP {
            let why = "The app default keeps its name: people and the command line know it by that.";
            return Err(ServiceError::Conflict(why.to_owned()));
        }
        let summary = format!("App {} was renamed to {name}", app.name);
        let details = json!({ "app_id": id.to_string(), "name": name, "before": app.name });
        let activity = by.activity(ActivityKind::AppRenamed, Some(id), summary, details, self.clock.now());
        match self.store.app_rename(id, name.to_owned(), activity).await? {
            AppRenamed::Done => Ok(App { name: name.to_owned(), ..app }),
            AppRenamed::NotFound => Err(ServiceError::NotFound(Kind::App)),
            AppRenamed::NameTaken => Err(of_app(AppError::NameTaken(name.to_owned()))),
        }
    }

    // --------------------------------------------------------------------------------------- keys

    /// The keys of the caller's app, newest first.
    pub async fn keys(&self, caller: &Caller) -> Result<Vec<Key>> {
        Ok(self.store.key_list(Some(caller.app_id)).await?)
    }

    /// Makes a key of the caller's app.
    pub async fn create_key(&self, caller: &Caller, input: KeyInput) -> Result<CreatedKey> {
        let missing = input.scopes.iter().find(|scope| !caller.by.scopes.allows(*scope));
        if let Some(scope) = missing {
            return Err(ServiceError::Forbidden(scope));
        }
        let KeyInput { name, scopes, lifetime } = input;
        let new = NewKey { name, app: caller.app_id.to_string(), scopes, lifetime };
        keys::create(&*self.store, new, &caller.by, self.clock.now()).await.map_err(of_key)
    }

    /// Ends a key of the caller's app. One that may do more than the caller is not theirs to end.
    pub async fn revoke_key(&self, caller: &Caller, id: &str) -> Result<()> {
        let bare = keys::bare_id(id, &self.prefix);
        let found = self.store.key_get(bare).await?.filter(|key| key.app_id == caller.app_id);
        let key = found.ok_or(ServiceError::NotFound(Kind::Key))?;
        if let Some(scope) = key.scopes.iter().find(|scope| !caller.by.scopes.allows(*scope)) {
            return Err(ServiceError::Forbidden(scope));
        }
        let revoked = keys::revoke(&*self.store, bare, &self.prefix, &caller.by, self.clock.now()).await;
        revoked.map_err(of_key)?;
        self.signals.access_changed();
        Ok(())
    }
}

fn role_changed(by: &By, user: &User, role: Role, now: Timestamp) -> Activity {
    let summary = format!("User {} has the role {role} now, and had {}", user.email, user.role);
    let details = json!({ "email": user.email, "role": role.as_str(), "before": user.role.as_str() });
    by.activity(ActivityKind::UserChanged, None, summary, details, now)
}

fn changed(change: UserChange) -> Result<User> {
    match change {
        UserChange::Done(user) => Ok(user),
        UserChange::NotFound => Err(ServiceError::NotFound(Kind::User)),
        UserChange::LastOwner => Err(ServiceError::Conflict(
            "This is the last owner; make somebody else an owner first.".to_owned(),
        )),
    }
}

fn of_user(error: UserError) -> ServiceError {
    match error {
        UserError::EmailTaken(email) => ServiceError::Conflict(format!("There is a user {email} already.")),
        UserError::BadEmail(_) => Invalid::one("/email", "must be an e-mail address").into(),
        UserError::BadPassword => {
            let wanted = format!(
                "must have {PASSWORD_MIN_CHARS} characters or more, and at most {PASSWORD_MAX_BYTES} bytes"
            );
            Invalid::one("/password", wanted).into()
        }
        UserError::NotFound(_) => ServiceError::NotFound(Kind::User),
        UserError::Store(error) => error.into(),
    }
}

fn of_app(error: AppError) -> ServiceError {
    match error {
        AppError::BadName(why) => Invalid::one("/name", format!("cannot be taken: {why}")).into(),
        AppError::NameTaken(name) => ServiceError::Conflict(format!("There is an app {name:?} already.")),
        AppError::NotFound(_) => ServiceError::NotFound(Kind::App),
        AppError::Store(error) => error.into(),
    }
}

fn of_key(error: KeyError) -> ServiceError {
    match error {
        KeyError::BadName(why) => Invalid::one("/name", format!("cannot be taken: {why}")).into(),
        KeyError::NoScopes => Invalid::one("/scopes", "must name at least one scope").into(),
        KeyError::NoLifetime => Invalid::one("/expires", "must be longer than nothing").into(),
        KeyError::ScopesNotHeld(scopes) => match scopes.iter().next() {
            Some(scope) => ServiceError::Forbidden(scope),
            None => ServiceError::Unauthorized,
        },
        KeyError::NotFound(_) => ServiceError::NotFound(Kind::Key),
        KeyError::App(error) => of_app(error),
        KeyError::Store(error) => error.into(),
    }
}
