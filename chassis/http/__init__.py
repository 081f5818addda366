"""HTTP as both programs use it: client, server, limits on connections and bodies, authentication."""
