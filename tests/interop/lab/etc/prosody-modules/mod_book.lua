-- Writes down the body of each message that the server has taken for a local user, before anything else is done with it.
-- What is in the book and not with the user was lost inside the server: no proof that a server gives can say more.
local book = assert(io.open(module:get_option_string("book_file"), "a"));
book:setvbuf("line");

local function enter(event)
    local body = event.stanza.attr.type ~= "error" and event.stanza:get_child_text("body");
    if body then book:write((body:gsub("\n", " ")), "\n"); end
end

module:hook("message/bare", enter, 1000);
module:hook("message/full", enter, 1000);
