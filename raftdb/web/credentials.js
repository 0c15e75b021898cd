// What this tab shows of who it is: the token of the address that `raftdb up` printed, or that of a user who has logged in
// here. It goes to nodes of the cluster only, and where it is asked for.

const TOKEN_KEY = "raftdb-token";
const USER_KEY = "raftdb-user";

class Credentials extends EventTarget {
  // The token, null without one; and the name of its user, null for a token of another kind, "" for one that is not known.
  token = null;
  user = null;

  // The token of the address stands behind the #, which browsers send to nobody. It is kept for this tab, and taken out of
  // the address, so that it is in no bookmark and on no screenshot.
  take() {
    const given = new URLSearchParams(location.hash.slice(1)).get("token");
    if (given !== null) {
      this.keep(given, null);
      history.replaceState(history.state, "", location.pathname + location.search);
      return;
    }
    try {
      [this.token, this.user] = [sessionStorage.getItem(TOKEN_KEY), sessionStorage.getItem(USER_KEY)];
    } catch {
      // Without storage it lasts until the page is loaded anew.
    }
  }

  keep(token, user) {
    [this.token, this.user] = [token, user];
    try {
      for (const [key, value] of [[TOKEN_KEY, token], [USER_KEY, user]]) {
        if (value === null) sessionStorage.removeItem(key);
        else sessionStorage.setItem(key, value);
      }
    } catch {
      // As above.
    }
  }

  // The headers of a request. Where there are no users nobody needs a token to look, and a request with one to another
  // node costs the browser a question before it.
  headers(method = "GET") {
    const isNeeded = this.token !== null && (method !== "GET" || this.user !== null);
    return isNeeded ? { Authorization: `Bearer ${this.token}` } : {};
  }

  // A node has refused a request because it does not know whose it is. Returns whether another try may help; else people
  // are asked who they are.
  refused() {
    if (this.token !== null && this.user === null) {
      this.user = "";
      return true;
    }
    this.dispatchEvent(new Event("refused"));
    return false;
  }
}

export const credentials = new Credentials();
