"""HTTP for both programs: client, server, limits on connections and bodies, authentication."""
