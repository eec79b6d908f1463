-- Writes down the body of each message that the server has taken for a local user, before anything else is done with it, and of each
-- that a peer has acknowledged by stream management (XEP-0198), behind the word `acked`.
-- What is in the book and not with the user was lost inside the server, and what no peer has acknowledged was lost by the server, too:
-- no proof that a server gives can say more.
local book = assert(io.open(module:get_option_string("book_file"), "a"));
book:setvbuf("line");

local function enter(word, stanza)
    local body = stanza.name == "message" and stanza.attr.type ~= "error" and stanza:get_child_text("body");
    if body then book:write(word, (body:gsub("\n", " ")), "\n"); end
end

local function taken(event) enter("", event.stanza); end
module:hook("message/bare", taken, 1000);
module:hook("message/full", taken, 1000);

local queue = getmetatable(require "util.smqueue".new(1)).__index;
local ack = queue.ack;
function queue:ack(h)
    local acked, fault = ack(self, h);
    for _, stanza in ipairs(acked or {}) do enter("acked ", stanza); end
    return acked, fault;
end
