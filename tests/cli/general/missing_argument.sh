squeeze inspect
