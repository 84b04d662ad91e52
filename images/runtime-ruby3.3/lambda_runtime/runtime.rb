# frozen_string_literal: true

require_relative 'context'
require_relative 'failure'
require_relative 'handler'
require_relative 'log'
require_relative 'runtime_api'

module LambdaRuntime
  # The life of a runtime process: initialization, then invocations until something ends it.
  class Runtime
    def initialize(address)
      @api = RuntimeApi.new(address)
    end

    # The exit status of the process. Returns only when the function cannot be loaded, or an error ends the process.
    def run(name)
      handler = load_handler(name)
      return 1 if handler.nil?

      loop do
        return 1 unless serve(handler, @api.next_invocation)
      end
    end

    private

    # The handler; nil after its error was reported, which may be anything that a file can raise.
    def load_handler(name)
      Handler.load(name)
    rescue Exception => e # rubocop:disable Lint/RescueException
      failure = Failure.new(e, 'Init')
      Log.error("Init error when loading handler #{name}", failure)
      @api.fail_init(failure)
      nil
    end

    # Whether the process can go on after this invocation. What is no StandardError ends it, as `exit` is meant to.
    def serve(handler, invocation)
      Log.request_id = invocation.request_id
      ENV['_X_AMZN_TRACE_ID'] = invocation.trace_id
      answer = handler.call(invocation.event, Context.new(invocation))
      @api.respond(invocation, *answer)
      true
    rescue StandardError => e
      fail_invocation(invocation, e, 'Error raised from handler method')
      true
    rescue Exception => e # rubocop:disable Lint/RescueException
      fail_invocation(invocation, e, 'Critical exception from handler')
      false
    end

    def fail_invocation(invocation, error, message)
      failure = Failure.new(error, 'Function')
      Log.error(message, failure)
      @api.fail(invocation, failure)
    end
  end
end
